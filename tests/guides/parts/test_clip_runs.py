"""A CLIP trained on a tiny set of captions: what it retrieves, and how it guides."""

import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from runs import PLAIN, assert_same, ddpm, metrics, result, signal_after

from ddpm_cli import hardware
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images import pixels
from ddpm_cli.guides.parts import clip_judge, clip_runs
from ddpm_cli.pipelines import steering

TOWERS = (
    'network={name="clip", embedding=16, width=8, multipliers=[1, 2], patch=2, norm="pixel"}',
    'text={form="pooled", length=16, width=16, depth=1, heads=2, drop=0.0}',
    "loss.name=contrastive",
)
COLOURS = {"red": (220, 40, 60), "blue": (60, 120, 240)}
INFO = DataInfo((3, 8, 8))


def picture(colour: str, half: str, number: int) -> torch.Tensor:
    """An image uint8 [3, 8, 8] whose upper or lower half has a colour, on grey of its own."""
    image = torch.full((3, 8, 8), 90 + number, dtype=torch.uint8)
    rows = slice(0, 4) if half == "top" else slice(4, 8)
    image[:, rows] = torch.tensor(COLOURS[colour], dtype=torch.uint8).reshape(3, 1, 1)
    return image


@pytest.fixture(scope="module")
def captioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with files of captions beside them."""
    folder = tmp_path_factory.mktemp("captioned")
    for number in range(40):
        for colour in COLOURS:
            for half in ("top", "low"):
                name = folder / f"{colour}{half}{number}"
                name.with_suffix(".png").write_bytes(
                    pixels.encode_png(picture(colour, half, number))
                )
                name.with_suffix(".txt").write_text(f"{colour} {half}\n{half} is {colour}\n")
    return folder


@pytest.fixture(scope="module", params=["clean", "noisy"])
def run(
    request: pytest.FixtureRequest, captioned: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a CLIP of these images."""
    folder = tmp_path_factory.mktemp("clips") / str(request.param)
    draw = {"clean": "lowest", "noisy": "low-discrepancy"}[request.param]
    settings = (*TOWERS, f"draw.name={draw}", "data.name=folder", f"data.path={captioned}")
    settings += ("train.drop_class=0", "data.holdout=0.2", "train.measure_every=40")
    words = [word for setting in settings for word in ("--set", setting)]
    outcome = ddpm(
        "train", "--preset", "tiny", *words, *PLAIN, "--steps", 80, "--batch", 16, "--lr", 0.01,
        "-o", folder,
    )  # fmt: skip
    assert outcome.code == 0, outcome.err
    assert outcome.err.endswith(f"try: ddpm info {folder}\n")
    return folder


def loaded(run: Path) -> clip_runs.Run:
    found = clip_runs.named(str(run))
    assert found is not None
    compute = hardware.compute(device="cpu", dtype="float32")
    return clip_runs.load(found[0], INFO, compute)


def test_it_retrieves_held_out_captions(run: Path) -> None:
    last = metrics(run)[-1]
    assert last["accuracy_q1"] >= 0.9
    assert last["loss"] < metrics(run)[0]["loss"]
    assert not (run / "samples").exists()


def test_texts_and_images_meet(run: Path, captioned: Path) -> None:
    towers = loaded(run)
    assert towers.is_noisy == (run.name == "noisy")
    texts = towers.encode_texts(["red top", "red low", "blue top", "blue low"])
    files = [captioned / f"red{half}0.png" for half in ("top", "low")]
    shown = torch.stack([picture("blue", half, 3) for half in ("top", "low")])
    seen = [towers.encode_file(str(file)) for file in files]
    seen = torch.cat([*seen, towers.encode(pixels.from_uint8(shown))])
    assert (seen @ texts.T).argmax(1).tolist() == [0, 1, 2, 3]
    assert torch.allclose(seen.norm(dim=1), torch.ones(4))


def test_only_one_of_clean_images_goes_back_through_the_model(run: Path) -> None:
    guides = [{"name": "classifier", "model": "mnist-classifier"}]
    assert not steering.goes_back({"guides": guides})
    guides.append({"name": "clip", "model": str(run)})
    assert steering.goes_back({"guides": guides}) == (run.name == "clean")


def test_the_gradient_points_to_the_text(run: Path) -> None:
    """A step up the gradient brings images nearer, by as much as it is long."""
    towers = loaded(run)
    wanted = clip_judge.targets(towers, ["red top:2", "blue low:-1"], [])
    assert wanted.shares.tolist() == pytest.approx([2 / 3, -1 / 3])
    x = pixels.from_uint8(picture("blue", "low", 3))[None].double().requires_grad_()

    def score(x: torch.Tensor) -> torch.Tensor:
        vectors = towers.encode(x, torch.tensor(0.3) if towers.is_noisy else None)
        return clip_judge.similarity(vectors[:, None], *wanted)

    (slope,) = torch.autograd.grad(score(x).sum(), x)
    step = 0.02 * slope / slope.norm()
    gain = float((score(x + step) - score(x)).detach().sum())
    assert gain == pytest.approx(0.02 * float(slope.norm()), rel=0.3)


@pytest.mark.parametrize("channels", [1, 4])
def test_models_of_other_colours_are_seen(channels: int, run: Path) -> None:
    towers = loaded(run)
    score = partial(clip_judge.objective(towers, ["red top"], []), cutouts=2)
    x0 = torch.zeros(2, channels, 12, 12, requires_grad=True)
    found = score(x0, Rng([0, 1]))
    assert found.shape == (2,)
    (slope,) = torch.autograd.grad(found.sum(), x0)
    assert bool(slope.any())


def test_what_is_no_clip_of_ours_is_told(run: Path, tmp_path: Path) -> None:
    assert clip_runs.named("ViT-B-32/openai") is None
    (tmp_path / "open_clip_config.json").write_text("{}")
    shutil.copy(run / "model.safetensors", tmp_path)
    assert clip_runs.named(str(tmp_path)) is None
    with pytest.raises(Refusal, match="mnist: no CLIP, but another model of ddpm"):
        clip_runs.named("mnist")
    other = hardware.compute(device="cpu", dtype="float32"), DataInfo((3, 4, 4))
    place, _ = clip_runs.named(str(run)) or (None, None)
    assert place is not None
    if loaded(run).is_noisy:
        with pytest.raises(Refusal, match=r"knows noisy images \(3, 8, 8\), but the model makes"):
            clip_runs.load(place, other[1], other[0])
    else:
        clip_runs.load(place, other[1], other[0])


def test_guide_takes_it(run: Path, captioned: Path, tmp_path: Path) -> None:
    """From the command line, and again from the record; to draw with it is refused."""
    folder = tmp_path / "drawing"
    few = ["--set", "data.name=folder", "--set", f"data.path={captioned}", "--steps", 2]
    few += ["--set", "network.classes=0", "--set", "levels.count=4", "--batch", 4]
    outcome = ddpm("train", "--preset", "tiny", *few, *PLAIN, "-o", folder)
    assert outcome.code == 0, outcome.err
    sheets = []
    for text in ("red top", "blue low"):
        words = ["--clip", text, "--clip-model", run, "--scale", 500, "-n", 2]
        outcome = ddpm("guide", "-m", folder, *words, *PLAIN, "-o", tmp_path / f"{text}.png")
        assert outcome.code == 0, outcome.err
        sheets.append(pixels.from_pillow(pixels.read_pillow(tmp_path / f"{text}.png", "RGB")))
    assert not torch.equal(*sheets)
    record = pixels.read_metadata(tmp_path / "red top.png")
    assert read_header(run / "model.safetensors").hash in str(record)
    outcome = ddpm("sample", "-m", run, "-o", tmp_path / "x.png")
    assert outcome.code == 1
    assert "a CLIP, which draws nothing" in outcome.err
    assert "ddpm guide --clip 'a text' --clip-model" in outcome.err


def test_the_captions_that_are_drawn_are_those_of_a_run_without_a_stop(
    captioned: Path, tmp_path: Path
) -> None:
    settings = (*TOWERS, "data.name=folder", f"data.path={captioned}", "train.drop_class=0")
    words = [word for setting in settings for word in ("--set", setting)]
    words += ["--preset", "tiny", *PLAIN, "--steps", 6, "--batch", 4]
    assert ddpm("train", *words, "-o", tmp_path / "whole").code == 0
    with signal_after(3, signal.SIGTERM):
        assert ddpm("train", *words, "-o", tmp_path / "parts").code == 143
    assert ddpm("train", *words, "-o", tmp_path / "parts").code == 0
    assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("text.drop=0.1", "text.drop: 0.1 of the texts left out, but a clip learns them"),
        ("train.accumulate=2", "train.accumulate: images are compared within each of the 2 parts"),
        ("loss.name=simple", "loss.name: simple is for other networks; a clip takes"),
        ("text.form=sequence", "--set text.form=pooled"),
        ("schedule={name='learned', width=8}", "schedule.learned: noise cannot be learned"),
    ],
)
def test_what_does_not_fit_is_refused(
    setting: str, message: str, captioned: Path, tmp_path: Path
) -> None:
    settings = (*TOWERS, "data.name=folder", f"data.path={captioned}", setting)
    words = [word for each in settings for word in ("--set", each)]
    outcome = ddpm("train", "--preset", "tiny", *words, *PLAIN, "-o", tmp_path / "run")
    assert outcome.code == 2, outcome
    assert message in outcome.err
