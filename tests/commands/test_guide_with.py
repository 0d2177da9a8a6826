"""`--guide-with`: a worse model to guide away from, in every verb; and all guiders."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_models import MLP, UNET, saved
from runs import ddpm, replayed, train
from torch import Tensor

from ddpm_cli.files.checkpoints import averages, checkpoint, find
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.files.images.pixels import read_metadata
from ddpm_cli.models import model, second
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import opening
from ddpm_cli.settings.config import Layer

pytestmark = pytest.mark.usefixtures("here")
CLASSES = ("a", "b")
WITH = UNET | {"classes": 2}


@pytest.fixture
def main(here: Path) -> Path:
    """A model of two classes."""
    return saved(here / "main.safetensors", WITH, classes=CLASSES)


@pytest.fixture
def worse(here: Path) -> Path:
    """One of the same classes with another network, process and parameterization."""
    other: dict[str, Any] = {
        "schedule": {"name": "edm"},
        "parameterization": {"name": "edm"},
    }
    network = WITH | {"width": 4, "norm": "pixel"}
    return saved(here / "worse.safetensors", network, classes=CLASSES, **other)


@pytest.fixture(scope="module")
def kept(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that kept snapshots of two averages."""
    folder = tmp_path_factory.mktemp("runs") / "kept"
    words = ("--set", "train.averages=[0.2, 0.05]", "--set", "train.snapshots=3")
    assert train(data, folder, *words).code == 0
    return folder


def drawn(*words: object, verb: str = "sample", code: int = 0) -> Tensor:
    outcome = ddpm(verb, *words, "--dtype", "float32", "--force", "-o", "drawn.npy")
    assert outcome.code == code, outcome.err
    return torch.from_numpy(np.load("drawn.npy")).int()


def opened(path: Path, **guidance: Any) -> Model:
    """A model as the table `guidance` guides it."""
    place = Place(path, str(path))
    header = read_header(path)
    config = opening.settled(place, header, [Layer("the test", {"guidance": guidance})])
    return model.opened(place, config)


def refused(*words: object) -> str:
    outcome = ddpm("sample", *words, "--dry-run")
    assert outcome.code in (1, 2), outcome.err
    assert outcome.err.count("\n") <= 3
    assert "Traceback" not in outcome.err
    return outcome.err


class TestPredictions:
    def test_it_is_an_extrapolation_at_equal_sigma(self, main: Path, worse: Path) -> None:
        told = {"classes": torch.tensor([0, 1])}
        x, sigma = torch.randn(2, 1, 8, 8, dtype=torch.float64), torch.tensor(0.7)
        good, bad = (opened(path).bound(told)(x, sigma).x0 for path in (main, worse))
        both = opened(main, model=str(worse), scale=1.8).bound(told)(x, sigma).x0
        assert torch.allclose(both, bad + 1.8 * (good - bad), rtol=0, atol=1e-5)

    def test_what_only_one_is_told_the_other_does_without(self, main: Path, here: Path) -> None:
        plain = saved(here / "plain.safetensors", UNET)
        told = {"classes": torch.tensor([0, 1])}
        x, sigma = torch.randn(2, 1, 8, 8, dtype=torch.float64), torch.tensor(0.7)
        good, free = opened(main).bound(told)(x, sigma).x0, opened(plain).bound({})(x, sigma).x0
        both = opened(main, model=str(plain), scale=2.0).bound(told)(x, sigma).x0
        assert torch.allclose(both, 2 * good - free, rtol=0, atol=1e-5)
        null = {"classes": torch.tensor([2, 2])}
        untold = opened(main).bound(null)(x, sigma).x0
        both = opened(plain, model=str(main), scale=2.0).bound({})(x, sigma).x0
        assert torch.allclose(both, 2 * free - untold, rtol=0, atol=1e-5)

    def test_a_model_guided_by_itself_is_itself(self, main: Path) -> None:
        words = ("-m", main, "--class", "a", "-n", 2)
        assert torch.equal(drawn(*words, "--guide-with", main), drawn(*words))

    def test_a_snapshot_is_the_shortest_average_of_its_step(self, kept: Path) -> None:
        steps = list(averages.listed(kept))
        assert len(steps) == 3
        name = f"{kept}:{steps[0]}"
        header, tensors = checkpoint.load(averages.path(kept, steps[0]))
        loaded = second.made(
            opened(find.model_in(kept), model=name, scale=2.0).config,
            opened(find.model_in(kept)).denoiser,  # type: ignore[arg-type]
            opened(find.model_in(kept)).compute,
        )
        assert loaded.hash == header.hash
        weights = loaded.worse.weights()  # type: ignore[union-attr]
        mine = {k.removeprefix("averages.1."): v for k, v in tensors.items() if "averages.1" in k}
        assert mine
        assert all(torch.equal(weights[key].float(), mine[key].float()) for key in mine)


class TestCommand:
    def test_the_scale_is_some_unless_told(self, main: Path, worse: Path) -> None:
        words = ("-m", main, "--class", "a", "-n", 2)
        usual = drawn(*words, "--guide-with", worse)
        assert torch.equal(
            usual, drawn(*words, "--guide-with", worse, "--set", "guidance.scale=1.5")
        )
        assert not torch.equal(usual, drawn(*words))
        steered = drawn(*words, "--guide-with", worse, "--scale", 1.5, verb="guide")
        assert torch.equal(usual, steered)

    def test_calls_are_counted(self, main: Path, worse: Path) -> None:
        outcome = ddpm("sample", "-m", main, "--guide-with", worse, "--dry-run")
        assert "5 steps, 10 network calls" in outcome.err
        outcome = ddpm("sample", "-m", main, "--guide-with", worse, "--calls", 6, "--dry-run")
        assert "3 steps, 6 network calls" in outcome.err

    def test_records_name_it_and_make_the_image_again(self, kept: Path) -> None:
        step = next(iter(averages.listed(kept)))
        words = ("--guide-with", f"{kept}:{step}", "--class", 1, "--dtype", "float32")
        assert ddpm("sample", "-m", kept, *words, "-o", "x.png").code == 0
        record, before = read_metadata(Path("x.png")), Path("x.png").read_bytes()
        assert record["guide"] == read_header(averages.path(kept, step)).hash
        Path("x.png").unlink()
        assert ddpm(*replayed_of(before)).code == 0
        assert Path("x.png").read_bytes() == before

    def test_another_worse_model_is_no_reason_to_skip(self, main: Path, worse: Path) -> None:
        words = ("-m", main, "--class", "a", "--guide-with", worse, "-o", "there/")
        assert ddpm("sample", *words).code == 0
        saved(worse, WITH, classes=CLASSES)
        outcome = ddpm("sample", *words, "--skip-existing")
        assert "guidance.model" in outcome.err

    @pytest.mark.parametrize("verb", ["guide", "inpaint", "encode", "interpolate", "upscale"])
    def test_every_verb_that_walks(self, main: Path, worse: Path, verb: str) -> None:
        own = {
            "inpaint": ("a.png", "--mask", "0,0,4,4"),
            "encode": ("a.png", "--steps", 12),
            "interpolate": ("--seeds", "1,2", "-n", 3, "--steps", 12),
            "upscale": ("half.png", "--factor", 2),
            "guide": (),
        }[verb]
        assert ddpm("sample", "-m", main, "--seed", 3, "-o", "a.png").code == 0
        from PIL import Image

        Image.open("a.png").resize((4, 4)).save("half.png")
        end, made = "safetensors" if verb == "encode" else "npy", []
        end = "png" if verb in ("upscale", "inpaint", "interpolate") else end
        for extra in (("--guide-with", worse, "--set", "guidance.scale=8"), ()):
            words = (verb, *own, "-m", main, "--class", "b", *extra, "-o", f"{len(made)}.{end}")
            outcome = ddpm(*words)
            assert outcome.code == 0, outcome.err
            made.append(Path(words[-1]).read_bytes())
        assert made[0] != made[1]

    def test_likelihoods_are_of_no_guided_prediction(self, main: Path, worse: Path) -> None:
        assert ddpm("sample", "-m", main, "-o", "a.png").code == 0
        setting = f"guidance.model={json.dumps(str(worse))}"
        outcome = ddpm("nll", "a.png", "-m", main, "--set", setting, "--set", "guidance.scale=2")
        assert (outcome.code, "no likelihood" in outcome.err) == (2, True)
        assert ddpm("nll", "a.png", "-m", main, "--guide-with", worse).code == 2


class TestRefusals:
    def test_other_data(self, main: Path, here: Path) -> None:
        larger = saved(here / "larger.safetensors", UNET, shape=(1, 16, 16))
        points = saved(here / "points.safetensors", MLP, shape=(2,))
        words = ("-m", main, "--guide-with")
        assert "makes images 1x16x16, and the other 1x8x8" in refused(*words, larger)
        assert "makes samples 2, and the other 1x8x8" in refused(*words, points)
        header, weights = checkpoint.load(main)
        deep = header._replace(data=header.data._replace(range=(0, 4095)))
        checkpoint.save(here / "deep.safetensors", weights, deep)
        assert "saw pixels from 0 to 4095" in refused(*words, "deep.safetensors")
        others = header._replace(data=header.data._replace(classes=("c", "d")))
        checkpoint.save(here / "others.safetensors", weights, others)
        assert "knows other classes" in refused(*words, "others.safetensors")

    def test_what_is_no_model_of_images(self, main: Path, kept: Path) -> None:
        words = ("-m", main, "--guide-with")
        assert "no such file" in refused(*words, "nothing")
        assert "--guide-with: an empty name" in refused(*words, " ")
        assert "draws nothing" in refused("-m", "mnist", "--guide-with", "mnist-classifier")
        state = kept / "state.safetensors"
        assert "holds state" in refused(*words, state)

    def test_other_tasks(self) -> None:
        told = refused("-m", "mnist", "--guide-with", "mnist-inpaint")
        assert "is made to inpaint" in told

    def test_snapshots_that_there_are_not(self, kept: Path, data: Path, main: Path) -> None:
        steps = ", ".join(map(str, averages.listed(kept)))
        told = refused("-m", kept, "--guide-with", f"{kept}:5")
        assert f"no snapshot of step 5, but of {steps}" in told
        assert "no folder of a run" in refused("-m", kept, "--guide-with", "no/run:5")
        averages.cut(kept)
        assert "kept no snapshots" in refused("-m", kept, "--guide-with", f"{kept}:5")

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            (("model='worse.safetensors'", "scale=1"), "of no use where guidance.scale is 1"),
            (("dropout=1.0", "scale=2"), "guidance.dropout: 1.0 does not fit"),
            (("name=cfg-pp", "scale=1.5"), "give 0 to 1"),
            (("name=cfg-pp", "dropout=0.1", "scale=0.5"), "direction of the null class"),
            (("name=cfg-pp", "dropout=0.1"), "direction of the null class"),
            (("name=cads", "tau1=0.9", "scale=2"), "must be less than guidance.tau2"),
            (("name=apg",), "guidance.name: of no use where guidance.scale is 1"),
            (("name=cfg", "eta=1", "scale=2"), "guidance.eta: unknown key for cfg"),
            (("name=agp", "scale=2"), "no guidance is named 'agp'"),
        ],
    )
    def test_settings_that_do_nothing_or_cannot_be(
        self, main: Path, worse: Path, settings: tuple[str, ...], told: str
    ) -> None:
        words = [word for each in settings for word in ("--set", f"guidance.{each}")]
        assert told in refused("-m", main, "--class", "a", *words)

    def test_what_draws_by_seeds_has_no_way_back(self, main: Path) -> None:
        assert ddpm("sample", "-m", main, "-o", "a.png").code == 0
        outcome = ddpm("encode", "a.png", "-m", main, "--set", "guidance.dropout=0.1")
        assert (outcome.code, "images given have none" in outcome.err) == (2, True)

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            (("name=cfg-pp", "scale=0.5"), "guidance.name: cfg-pp changes steps"),
            (("name=apg", "scale=2"), "guidance.momentum: depends on the steps"),
            (("name=cfg-zero", "scale=2"), "guidance.zero_moves: depends on the steps"),
        ],
    )
    def test_what_depends_on_steps_has_no_ode(
        self, main: Path, settings: tuple[str, ...], told: str
    ) -> None:
        words = [word for each in settings for word in ("--set", f"guidance.{each}")]
        assert ddpm("sample", "-m", main, "-o", "a.png").code == 0
        encode = ("encode", "a.png", "-m", main, "--class", "a")
        for verb in (encode, ("fit", main, "--levels", 3)):
            outcome = ddpm(*verb, *words, "--dry-run")
            assert (outcome.code, told in outcome.err) == (2, True), outcome.err

    def test_training_asks_no_other_model(self, data: Path) -> None:
        words = ("--set", "guidance.model=mnist", "--set", "guidance.scale=2")
        outcome = train(data, Path("new"), *words)
        assert (outcome.code, "choose it when sampling" in outcome.err) == (2, True)


class TestGuiders:
    @pytest.mark.parametrize(
        "settings",
        [
            ("dropout=0.2", "scale=3"),
            ("name=cads", "noise=0.5", "scale=3"),
            ("name=apg", "scale=6"),
            ("name=cfg-zero", "scale=3"),
            ("name=cfg-pp", "scale=0.7"),
        ],
    )
    def test_images_depend_on_seeds_alone_and_come_again(
        self, main: Path, settings: tuple[str, ...]
    ) -> None:
        words = ["-m", main, "--class", "b"]
        words += [word for each in settings for word in ("--set", f"guidance.{each}")]
        together = drawn(*words, "--seeds", "3-5")
        alone = drawn(*words, "--seeds", "5", "--batch", 1)
        assert int((together[2] - alone.reshape(together[2].shape)).abs().max()) <= 1
        assert not torch.equal(together, drawn("-m", main, "--class", "b", "--seeds", "3-5"))
        assert ddpm("sample", *words, "-o", "x.png", "--dtype", "float32").code == 0
        before = Path("x.png").read_bytes()
        assert ddpm(*replayed_of(before)).code == 0
        assert Path("x.png").read_bytes() == before

    def test_dropout_guides_models_without_classes(self, here: Path) -> None:
        plain = saved(here / "plain.safetensors", UNET)
        guided = drawn("-m", plain, "-n", 2, "--set", "guidance.dropout=0.3")
        assert not torch.equal(guided, drawn("-m", plain, "-n", 2))

    def test_a_name_keeps_the_scale_of_layers_below(self, main: Path) -> None:
        table = Path("table.toml")
        table.write_text("guidance = { scale = 3.0, low = 0.1 }\n")
        words = ("-m", main, "--config", table, "--set", "guidance.name=apg", "--dry-run")
        outcome = ddpm("sample", *words)
        assert outcome.code == 0, outcome.err
        assert "scale = 3.0" in outcome.out
        assert "low = 0.1" in outcome.out
        assert "momentum = -0.5" in outcome.out


def replayed_of(image: bytes) -> list[str]:
    """The command that makes x.png again, which is taken away."""
    Path("x.png").write_bytes(image)
    words = replayed("x.png")
    Path("x.png").unlink()
    return words


@pytest.mark.parametrize(
    "asked",
    [
        "--set guidance.scale=3",
        "--set guidance.name=apg --set guidance.scale=3",
        "--set guidance.name=cads",
        "--set guidance.name=cads --set guidance.scale=3",
        "--set guidance.name=cfg-pp",
        "--set guidance.name=cads --guide-with worse.safetensors",
    ],
)
def test_what_guides_towards_no_class_says_what_leaves_it_out(
    main: Path, worse: Path, asked: str
) -> None:
    words = ("sample", "-m", main, "--class", "none", *asked.split(), "--dry-run")
    outcome = ddpm(*words)
    fix = re.search(r" a class; name one with --class, or ((?:--set \S+\s)+)$", outcome.err)
    assert outcome.code == 2
    assert fix
    assert ddpm(*words, *fix[1].split()).code == 0
    assert ddpm("sample", "-m", main, "--class", "a", *asked.split(), "--dry-run").code == 0
