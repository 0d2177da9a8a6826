"""Images made of given ones: each of its own seed and picture, and named before any work."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import Outcome, apart, ddpm, digits, done, replayed, train
from torch import Tensor

import ddpm_cli
from ddpm_cli.data.sets import images
from ddpm_cli.files.images.pixels import encode_png, from_pillow, read_metadata

TASK = 'task={name="pairs", filter=["jpeg", "uncrop", "blur"]}'
LEVEL = 1  # see test_sample


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="module")
def several(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 8x8 digits that undoes three things."""
    folder = tmp_path_factory.mktemp("runs") / "several"
    assert train(data, folder, "--set", TASK).code == 0
    return folder


@pytest.fixture(scope="module")
def painter(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 8x8 images in colours that was given grey ones beside them."""
    root = tmp_path_factory.mktemp("pairs")
    for folder in ("grey", "colours"):
        (root / folder).mkdir()
    rows, _ = images.mnist("train", path=str(data))[torch.arange(48)]
    for number, grey in enumerate(rows):
        tinted = (grey * torch.tensor([1.0, 0.6, 0.2]).reshape(3, 1, 1)).to(torch.uint8)
        (root / "grey" / f"{number}.png").write_bytes(encode_png(grey))
        (root / "colours" / f"{number}.png").write_bytes(encode_png(tinted))
    place = f'path="{root}/colours", beside="{root}/grey", beside_mode="L"'
    words = ("--set", f'data={{name="folder", {place}}}', "--set", "task.name=pairs")
    assert train(data, root / "run", *words, "--set", "network.classes=0").code == 0
    return root


@pytest.fixture
def given(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three images 8x8, beside which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    rows, _ = images.mnist("test", path=str(data))[torch.arange(3)]
    for number, row in enumerate(rows):
        (tmp_path / "in" / f"{number}.png").write_bytes(encode_png(row))
    return tmp_path / "in"


def make(model: Path, *words: object) -> Outcome:
    return ddpm("sample", "-m", model, "--dtype", "float32", *words)


def pixels(path: Path) -> Tensor:
    with Image.open(path) as image:
        return from_pillow(image)


def test_each_proposal_is_its_own(several: Path, given: Path) -> None:
    """Whatever stands beside it in a batch; of a folder one for each image."""
    words = ("--task", "jpeg", "--image")
    made = make(several, *words, given, "-n", 3, "-o", "all/", "--json")
    assert made.code == 0, made.err
    rows = [json.loads(line) for line in made.out.splitlines()]
    assert [row["input"] for row in rows] == [str(given / f"{i // 3}.png") for i in range(9)]
    assert len({row["hash"] for row in rows}) == 9
    assert len({row["input_hash"] for row in rows}) == 3
    alone = make(several, *words, given / "1.png", "--seed", 2, "-o", "one.png", "--batch", 1)
    assert alone.code == 0, alone.err
    assert apart(pixels(Path("all/1-000002.png")), pixels(Path("one.png"))) <= LEVEL
    assert apart(pixels(Path("all/1-000001.png")), pixels(Path("one.png"))) > LEVEL


def test_the_image_and_the_task_are_seen(several: Path, given: Path) -> None:
    found = []
    for task, name in (("jpeg", "0"), ("jpeg", "1"), ("blur", "0")):
        words = ("--task", task, "--image", given / f"{name}.png", "-o", f"{task}{name}.png")
        assert make(several, *words).code == 0
        found.append(pixels(Path(f"{task}{name}.png")))
    assert not torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_record_makes_it_again(several: Path, given: Path) -> None:
    words = ("--image", given / "0.png", "--image", given / "2.png")
    done("sample", "-m", several, "--task", "blur", *words, "-n", 2, "-o", "made/", "--degrade")
    path = Path("made/2-000001.png")
    record, before = read_metadata(path), path.read_bytes()
    assert record["inputs"] == [str(given / "2.png")]
    assert len(record["input_hash"]) == 64
    again = replayed(path)
    assert again.count("--image") == 1
    path.unlink()
    done(*again)
    assert path.read_bytes() == before


def test_what_is_there_stays_where_the_rest_is_filled_in(several: Path, given: Path) -> None:
    """Clear pixels are missing, and room around a smaller image; hidden colours do not leak."""
    whole = pixels(given / "0.png")
    clear = torch.full_like(whole, 255)
    clear[..., 5:] = 0
    for name, hidden in (("a", 0), ("b", 255)):
        behind = torch.where(clear > 0, whole, hidden)
        Path(f"{name}.png").write_bytes(encode_png(torch.cat([behind, clear])))
        done(
            "sample",
            "-m",
            several,
            "--task",
            "uncrop",
            "--image",
            f"{name}.png",
            "-o",
            f"{name}2.png",
        )
    first, second = pixels(Path("a2.png")), pixels(Path("b2.png"))
    assert torch.equal(first, second)
    assert torch.equal(first[..., :5], whole[..., :5])
    Path("small.png").write_bytes(encode_png(whole[:, 2:6, 2:6]))
    words = ("--image", "small.png", "--fit", "pad", "-o", "padded.png")
    done("sample", "-m", several, "--task", "uncrop", *words)
    padded = pixels(Path("padded.png"))
    assert padded.shape == (1, 8, 8)
    assert torch.equal(padded[:, 2:6, 2:6], whole[:, 2:6, 2:6])
    done("sample", "-m", several, "--task", "blur", *words, "--force")
    assert pixels(Path("padded.png")).shape == (1, 4, 4)
    nothing = make(several, "--task", "uncrop", "--image", given / "0.png", "-o", "x.png")
    assert "nothing of it is missing" in nothing.err


def test_larger_images_are_made_by_windows(several: Path, given: Path) -> None:
    wide = torch.cat([pixels(given / "0.png"), pixels(given / "1.png")], dim=2)
    Path("wide.png").write_bytes(encode_png(wide))
    told = make(several, "--task", "blur", "--image", "wide.png", "-n", 2, "-o", "w/", "--json")
    assert told.code == 0, told.err
    assert "2 images of 1 by 6 windows, 4 steps, 4 network calls a window" in told.err
    assert "16x8 pixels, trained on 8x8: by 3 windows" in told.err
    assert json.loads(told.out.splitlines()[0])["calls"] == 3 * 4
    assert pixels(Path("w/wide-000000.png")).shape == (1, 8, 16)
    done("sample", "-m", several, "--task", "blur", "--image", "wide.png", "-b", 1, "-o", "w1.png")
    assert apart(pixels(Path("w1.png")), pixels(Path("w/wide-000000.png"))) <= LEVEL


def test_a_degraded_picture_does_not_follow_the_seed(several: Path, given: Path) -> None:
    words = ("--task", "uncrop", "--degrade", "--image", given, "-n", 2, "-o", "d/")
    done("sample", "-m", several, *words)
    first, second = pixels(Path("d/0-000000.png")), pixels(Path("d/0-000001.png"))
    same = (first == second) & (first == pixels(given / "0.png"))
    assert 0.1 < float(same.float().mean()) < 1


def test_grey_becomes_colours(painter: Path, given: Path) -> None:
    assert make(painter / "run", "--image", given / "0.png", "-o", "x.png").code == 0
    with Image.open("x.png") as image:
        assert (image.mode, image.size) == ("RGB", (8, 8))
    hint = painter / "run" / "example.png"
    with Image.open(hint) as image:
        assert image.mode == "L"


@pytest.mark.parametrize(
    ("words", "code", "fault"),
    [
        ((), 1, "ddpm sample --image IMAGE.png --task jpeg -m"),
        (("--image", "in"), 2, "give --task jpeg or uncrop or blur"),
        (("--image", "in", "--task", "grey"), 2, "--task grey"),
        (("--image", "in", "--task", "jpeg", "--class", "0,1"), 2, "several classes"),
        (("--image", "in", "--task", "jpeg", "--init", "in/0.png"), 2, "--init: not with --image"),
        (("--image", "in", "--task", "jpeg", "--trajectory", "t.gif"), 2, "--trajectory"),
        (("--image", "in", "--task", "jpeg", "-o", "x.png"), 2, "would both become"),
        (("--image", "none.png", "--task", "jpeg"), 1, "none.png"),
        (("--task", "jpeg"), 2, "only with --image"),
        (("--degrade",), 2, "only with --image"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(
    several: Path, given: Path, words: tuple[str, ...], code: int, fault: str
) -> None:
    made = make(several, *words)
    assert fault in made.err
    assert made.code == code
    assert not list(Path().glob("samples*"))


def test_other_models_say_what_they_take(
    data: Path, painter: Path, given: Path, tmp_path: Path
) -> None:
    told = make(Path("mnist"), "--image", given / "0.png")
    assert (told.code, "train one: ddpm train --preset" in told.err) == (2, True)
    told = make(Path("mnist-inpaint"), "--image", given / "0.png")
    assert (told.code, "ddpm inpaint IMAGE.png" in told.err) == (1, True)
    told = make(Path(f"{painter / 'run'},mnist-upscale"), "--image", given / "0.png")
    assert (told.code, "takes one model" in told.err) == (2, True)
    for word in ("--degrade", "--task=jpeg"):
        told = make(painter / "run", "--image", given / "0.png", word)
        assert (told.code, "pairs of its data" in told.err) == (2, True)
    for verb in (("upscale",), ("inpaint", "--mask", "0,0,2,2")):
        told = ddpm(verb[0], given / "0.png", *verb[1:], "-m", painter / "run", "-o", "x.png")
        assert told.code == 1
    plan = make(painter / "run", "--image", given, "--dry-run", "-n", 2)
    assert (plan.code, "6 images of 3" in plan.err) == (0, True)
    assert 'name = "pairs"' in plan.out
    assert not list(tmp_path.glob("samples*"))


def test_one_that_cannot_be_read_fails_alone(several: Path, given: Path) -> None:
    (given / "1.png").write_bytes(b"no image")
    made = make(several, "--task", "jpeg", "--image", given, "-o", "out/")
    assert made.code == 3
    assert sorted(path.name for path in Path("out").iterdir()) == ["0.png", "2.png"]
    again = make(
        several, "--task", "jpeg", "--image", given / "0.png", "-o", "out/", "--skip-existing"
    )
    assert (again.code, "0 made, 1 skipped" in again.err) == (0, True)


def test_python_makes_the_same(several: Path, given: Path) -> None:
    """Of one image for all seeds, or of one for each, with its opacity as a further plane."""
    words = ("--task", "uncrop", "--image", "clear.png", "-n", 2, "-o", "out/")
    whole = pixels(given / "0.png")
    clear = torch.full_like(whole, 255)
    clear[..., 5:] = 0
    Path("clear.png").write_bytes(encode_png(torch.cat([whole, clear])))
    done("sample", "-m", several, "--dtype", "float32", *words)
    model = ddpm_cli.load(str(several), settings={"compute.dtype": "float32"})
    planes = torch.cat([whole, clear])
    made = model.sample([0, 1], image=planes, task="uncrop")
    for number in range(2):
        written = pixels(Path(f"out/clear-00000{number}.png"))
        assert apart(model._core.to_pixels(made)[number], written) <= LEVEL
    several_images = torch.stack([whole, pixels(given / "1.png")])
    each = model.sample([3, 4], classes=[1, 2], image=several_images, task="jpeg")
    assert each.shape == (2, 1, 8, 8)
    assert not torch.equal(each, model.sample([3, 4], image=several_images, task="jpeg"))
    degraded = model.sample(3, image=several_images[:1], task="blur", degrade=True)
    assert not torch.equal(degraded, model.sample(3, image=several_images[:1], task="blur"))
    for wrong in ({}, {"task": "grey"}, {"task": "jpeg", "classes": "0,1"}):
        with pytest.raises(ValueError, match=r"^task|^classes|class"):
            model.sample([0, 1], image=whole, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="3 images for 2 seeds"):
        model.sample([0, 1], image=several_images[[0, 0, 1]], task="jpeg")
    with pytest.raises(ValueError, match="only with image"):
        model.sample(0, task="jpeg")
    with pytest.raises(ValueError, match="image"):
        ddpm_cli.load("mnist").sample(0, image=whole)


def test_python_trains_on_pairs_of_tensors(data: Path, tmp_path: Path) -> None:
    rows, _ = images.mnist("train", path=str(data))[torch.arange(24)]
    settings = {"task.name": "pairs", "network.width": 8, "network.classes": 0, "train.steps": 2,
                "train.batch": 4, "levels.count": 2, "train.warmup": 0}  # fmt: skip
    where = {"output": tmp_path / "run", "preset": "tiny", "quiet": True}
    ddpm_cli.train(rows, beside=255 - rows, settings=settings, **where)
    model = ddpm_cli.load(tmp_path / "run")
    assert model.sample([0, 1], image=rows[0]).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match=r"data\.beside"):
        ddpm_cli.train(rows, settings=settings, **(where | {"output": tmp_path / "other"}))
