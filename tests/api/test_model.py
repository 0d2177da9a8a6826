"""The verbs from Python: the numbers of the command line, and its refusals as ValueErrors."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import ddpm
from safetensors.torch import load_file
from torch import Tensor

import ddpm_cli
from ddpm_cli import Model
from ddpm_cli.files.images.pixels import encode_png, from_uint8, open_image, to_uint8

PLAIN = ("--device", "cpu", "--dtype", "float32", "--set", "compute.threads=1")
HOLE = "7,9,20,21"

CLASSIFIER = {"guides": [{"name": "classifier", "model": "mnist-classifier"}]}


def load(name: str = "mnist", **settings: Any) -> Model:
    settings = {"levels.count": 4, "compute.threads": 1} | settings
    return ddpm_cli.load(name, settings=settings, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def model() -> Model:
    return load()


@pytest.fixture(scope="module")
def digits(model: Model) -> Tensor:
    """Two digits as files would hold them."""
    return from_uint8(to_uint8(model.sample([0, 1], classes=[7, 2])))


@pytest.fixture
def files(digits: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digits as PNG files in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name, image in zip("ab", to_uint8(digits), strict=True):
        Path(f"{name}.png").write_bytes(encode_png(image))
    return ["a.png", "b.png"]


def command(*words: object) -> str:
    done = ddpm(*words, *PLAIN)
    assert done.code == 0, done.err
    return done.out


def picture(name: str) -> Tensor:
    return open_image(name, "L")


class TestTheSameAsTheCommandLine:
    def test_sample(self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        command("sample", "-m", "mnist", "--seeds", "3,9", "--steps", 4, "-o", "a.safetensors")
        samples = load_file("a.safetensors")["samples"]
        made = model.sample([3, 9])
        assert made.dtype == torch.float32
        assert made.shape == (2, 1, 28, 28)
        assert torch.equal(made, samples)

    def test_sample_with_classes_and_a_recipe(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        words = ("-m", "mnist", "--class", 7, "--seed", 5, "--sampler", "dpm++2m", "--steps", 4)
        command("sample", *words, "-o", "a.png")
        made = load(**{"sampler.name": "dpm++2m"}).sample(5, classes=[7])
        assert torch.equal(to_uint8(made)[0], picture("a.png"))

    def test_encode_and_decode(self, model: Model, digits: Tensor, files: list[str]) -> None:
        command("encode", *files, "-m", "mnist", "--steps", 5)
        settings = {"levels.count": 5}
        z = model.encode(digits, settings=settings)
        assert torch.equal(z, load_file("latents.safetensors")["latents"])
        command("sample", "--from", "latents.safetensors", "-o", "back/")
        back = model.decode(z, settings=settings)
        assert torch.equal(to_uint8(back)[1], picture("back/000001.png"))

    @pytest.mark.parametrize("name", ["mnist", "mnist-inpaint"])
    def test_inpaint(self, name: str, digits: Tensor, files: list[str]) -> None:
        command("inpaint", files[0], "-m", name, "--mask", HOLE, "--steps", 4, "--seed", 3)
        mask = torch.zeros(28, 28)
        mask[9:21, 7:20] = 1
        filled = load(name).inpaint(digits[:1], mask, seeds=3)
        assert torch.equal(to_uint8(filled)[0], picture("inpainted.png"))
        known = (mask == 0).expand_as(filled)
        assert torch.equal(filled[known], digits[:1][known])

    @pytest.mark.parametrize(
        ("name", "flags", "options"),
        [
            ("mnist-upscale", (), {}),
            ("mnist-upscale", ("--consistent",), {"consistent": True}),
            ("mnist-upscale", ("--seed", 1), {"seeds": 1, "size": 19}),
            ("mnist", ("--factor", 4, "--class", 7), {"factor": 4.0, "classes": 7}),
            ("mnist", ("--task", "deblur"), {"task": "deblur"}),
            ("mnist", ("--factor", 2, "--noise", 0.2), {"noise": 0.2, "size": 14}),
            (
                "mnist",
                ("--method", "mmps", "--factor", 2, "--noise", 0.1),
                {"method": "mmps", "noise": 0.1, "size": 14},
            ),
            (
                "mnist",
                ("--factor", 2, "--guide", "classifier:model=mnist-classifier", "--class", 3),
                {"settings": CLASSIFIER, "classes": 3, "size": 14},
            ),
        ],
    )
    def test_upscale(
        self, name: str, flags: tuple[Any, ...], options: dict[str, Any], files: list[str]
    ) -> None:
        model = load(name)
        size = {"mnist": 7 if "factor" in options else 28}.get(name, 14)
        options, size = dict(options), options.get("size", size)
        options.pop("size", None)
        small = torch.linspace(-1, 1, size * size).reshape(1, 1, size, size)
        Path("small.png").write_bytes(encode_png(to_uint8(small)[0]))
        command("upscale", "small.png", "-m", name, "--steps", 4, *flags, "-o", "large.png")
        large = model.upscale(from_uint8(to_uint8(small)), **options)
        assert torch.equal(to_uint8(large)[0], picture("large.png"))

    def test_noise_in_what_is_known(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        noisy = torch.linspace(-1, 1, 784).reshape(1, 1, 28, 28)
        Path("noisy.png").write_bytes(encode_png(to_uint8(noisy)[0]))
        words = ("--mask", "8,8,20,20", "--method", "ddrm", "--noise", 0.2, "--steps", 4)
        command("inpaint", "noisy.png", "-m", "mnist", *words, "-o", "clean.png")
        mask = torch.zeros(28, 28)
        mask[8:20, 8:20] = 1
        images = from_uint8(to_uint8(noisy))
        made = model.inpaint(images, mask, method="ddrm", noise=0.2)
        assert torch.equal(to_uint8(made)[0], picture("clean.png"))
        assert not torch.equal(made[..., 0, :], images[..., 0, :])

    def test_nll(self, model: Model, digits: Tensor, files: list[str]) -> None:
        lines = command("nll", *files, "-m", "mnist", "--steps", 4, "--json").splitlines()
        bits = model.nll(digits, settings={"levels.count": 4})
        assert bits.dtype == torch.float64
        assert bits.tolist() == [json.loads(line)["bits"] for line in lines[:2]]

    def test_the_bound(self, model: Model, digits: Tensor, files: list[str]) -> None:
        words = ("nll", *files, "-m", "mnist", "--method", "vlb", "--steps", 4, "--json")
        lines = command(*words).splitlines()
        bits = model.nll(digits, method="vlb", settings={"levels.count": 4})
        assert bits.tolist() == [json.loads(line)["bits"] for line in lines[:2]]

    @pytest.mark.parametrize(
        ("flags", "options"),
        [
            (("--scale", 2, "--interval", "0.2,5"), {"scale": 2.0, "interval": (0.2, 5)}),
            (("--classifier", "mnist-classifier"), {"classifier": "mnist-classifier"}),
        ],
    )
    def test_guide(
        self,
        flags: tuple[Any, ...],
        options: dict[str, Any],
        model: Model,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        words = ("-m", "mnist", "--class", 4, "-n", 2, "--steps", 4, *flags)
        command("guide", *words, "-o", "a.safetensors")
        made = model.guide([0, 1], 4, **options)
        samples = load_file("a.safetensors")["samples"]
        assert torch.equal(made, samples)

    def test_nll_of_few_levels(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        pixels = (BYTES % 8 * (255 / 7)).round().byte()
        Path("few.png").write_bytes(encode_png(pixels[0]))
        words = ("nll", "few.png", "-m", "mnist", "--bits", 3, "--steps", 4, "--json")
        bits = json.loads(command(*words).splitlines()[0])["bits"]
        for images in (pixels, from_uint8(pixels)):
            assert model.nll(images, bits=3, settings={"levels.count": 4}).tolist() == [bits]


class TestGuides:
    def test_a_function_of_the_callers(self, model: Model) -> None:
        plain = model.sample([0, 1], classes=3)
        bright = model.guide([0, 1], 3, scorer=lambda x: x.mean((1, 2, 3)), scale=300.0)
        assert float(bright.mean()) > float(plain.mean()) + 0.05

    def test_classes_one_by_one(self, model: Model) -> None:
        both = model.guide([5, 6], classes=["7", 2], scale=2.0)
        assert torch.allclose(both[1:], model.guide(6, 2, scale=2.0), atol=1e-4)

    def test_a_function_steers_what_is_enlarged(self, model: Model) -> None:
        small = torch.linspace(-1, 1, 49).reshape(1, 1, 7, 7)
        plain = model.upscale(small, factor=4.0)
        rough = model.upscale(
            small, factor=4.0, scorer=lambda x: x.diff().square().mean((1, 2, 3)), scale=1e3
        )
        assert float(rough.diff().square().mean()) > 1.1 * float(plain.diff().square().mean())

    def test_an_interval_that_no_call_falls_into_is_refused(self, model: Model) -> None:
        with pytest.raises(ddpm_cli.ConfigError, match="so nothing is guided; calls go from 80"):
            model.guide(1, 4, interval=(100, 300))
        with pytest.raises(ddpm_cli.ConfigError, match="no call of the network lies above 90"):
            ddpm_cli.load("mnist", settings={"guidance.low": 90, "guidance.scale": 3})

    def test_code_in_a_file_needs_its_name(self, model: Model, tmp_path: Path) -> None:
        path = tmp_path / "mine.py"
        path.write_text("def bright(x):\n    return x.mean((1, 2, 3))\n")
        made = model.guide(0, 3, scorer=f"{path}:bright", scale=300.0)
        assert torch.equal(
            made, model.guide(0, 3, scorer=lambda x: x.mean((1, 2, 3)), scale=300.0)
        )
        with pytest.raises(ValueError, match=r"add trust=True if you trust"):
            model.guide(0, 3, scorer="mine.pt2")

    def test_particles_are_chosen_by_a_reward_as_on_the_command_line(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("mine.py").write_text("def ink(x):\n    return x.mean((1, 2, 3)) * 50\n")
        steps = {"levels.count": 4, "sampler": {"name": "ddpm"}}
        asked: dict[str, Any] = {"classes": 3, "particles": 3, "settings": steps}
        counts = []

        def ink(x: Tensor) -> list[float]:
            counts.append(len(x))
            return [float(image.mean()) * 50 for image in x]

        made = model.guide([0, 1], reward=ink, batch=3, **asked)
        assert set(counts[1:]) == {3}  # a group at a time, as `batch` says
        assert torch.allclose(made, model.guide([0, 1], reward="mine.py:ink", **asked), atol=1e-4)
        words = ("guide", "-m", "mnist", "-n", 2, "--class", 3, "--reward", "mine.py:ink")
        asking = ("--particles", 3, "--sampler", "ddpm", "--steps", 4, "-o", "a.safetensors")
        command(*words, *asking)
        drawn = load_file("a.safetensors")["samples"]
        assert torch.allclose(made, drawn, atol=1e-4)
        assert not torch.allclose(made, model.guide([0, 1], 3, settings=steps), atol=1e-2)


class TestParts:
    def test_it_says_what_it_is_in_one_line(self, model: Model) -> None:
        assert repr(model) == (
            "Model('mnist': images 1x28x28, 10 classes, 2.60 M parameters, ddim, float32 on cpu)"
        )

    def test_a_walk_ends_in_the_samples(self, model: Model) -> None:
        states = [*model.walk([3, 9])]
        assert len(states) == 4
        assert [float(state.sigma) for state in states][-1] == 0
        assert torch.equal(states[-1].x.float(), model.sample([3, 9]))

    def test_an_image_does_not_depend_on_its_batch(self, model: Model) -> None:
        seeds, classes = [4, 5, 6, 5], [1, 2, 3, 8]
        together = model.sample(seeds, classes)
        assert torch.allclose(model.sample(seeds, classes, batch=3), together, atol=1e-4)
        assert torch.allclose(model.sample(5, [8])[0], together[3], atol=1e-4)
        assert not torch.allclose(together[1], together[3], atol=0.1)

    def test_the_denoiser_takes_one_level_or_many(self, model: Model, digits: Tensor) -> None:
        x = digits + 0.5
        both = model.denoise(x, torch.tensor([0.5, 2.0]), classes=[7, 2])
        assert both.x0.shape == x.shape
        for i, sigma in enumerate((0.5, 2.0)):
            alone = model.denoise(x[i : i + 1], sigma, classes=[(7, 2)[i]])
            assert torch.allclose(both.x0[i], alone.x0[0], atol=1e-4)

    def test_larger_images_are_filled_by_windows(self, model: Model, digits: Tensor) -> None:
        wide = torch.cat([digits[:1], digits[1:]], dim=-1)
        mask = torch.zeros(28, 56, dtype=torch.bool)
        mask[:, 20:40] = True
        filled = model.inpaint(wide, mask)
        assert torch.equal(filled[..., :20], wide[..., :20])
        assert not torch.equal(filled[..., 20:40], wide[..., 20:40])

    def test_masks_of_any_two_levels(self, model: Model, digits: Tensor) -> None:
        mask = torch.zeros(28, 28, dtype=torch.bool)
        mask[8:20, 8:20] = True
        want = model.inpaint(digits, mask)
        byte = mask.to(torch.uint8)
        for same in (byte, 255 * byte, mask.float(), 255.0 * mask, mask.long(), 2.0 * mask - 1):
            assert torch.equal(model.inpaint(digits, same), want)
        assert torch.equal(model.inpaint(digits, 0 * byte), digits)

    def test_numbers_of_any_library(self, model: Model) -> None:
        plain = model.sample([3, 4], classes=[7, 2])
        numbers, classes = torch.tensor([3, 4]), torch.tensor([7, 2])
        assert torch.equal(model.sample(numbers, classes), plain)  # type: ignore[arg-type]
        array, arrays = numbers.numpy(), classes.numpy()
        assert torch.equal(model.sample(array, arrays), plain)
        assert torch.equal(model.sample(range(3, 5), ["7", 2]), plain)

    def test_a_class_for_each_image_that_is_given(self, model: Model, digits: Tensor) -> None:
        mask = torch.zeros(28, 28)
        mask[8:20, 8:20] = 1
        both = model.inpaint(digits, mask, [3, 4], classes=torch.tensor([7, 2]))  # type: ignore[arg-type]
        assert torch.allclose(both[1:], model.inpaint(digits[1:], mask, 4, 2), atol=1e-4)
        small = torch.nn.functional.avg_pool2d(digits, 4)
        both = model.upscale(small, [3, 4], classes=["7", 2], factor=4.0)
        alone = model.upscale(small[1:], 4, classes=2, factor=4.0)
        assert torch.allclose(both[1:], alone, atol=0.02)

    def test_guidance_among_the_settings_is_of_drawing(self, digits: Tensor) -> None:
        guided, plain = load(**{"guidance.scale": 2.0}), load()
        x = digits + 0.5
        assert torch.equal(guided.denoise(x, 0.5).x0, plain.denoise(x, 0.5).x0)
        settings = {"levels.count": 4}
        assert torch.equal(
            guided.nll(digits, settings=settings), plain.nll(digits, settings=settings)
        )
        assert not torch.equal(guided.sample(0, 7), plain.sample(0, 7))

    def test_a_path_names_a_model(self) -> None:
        path = Path(ddpm_cli.__file__).parent / "assets" / "mnist.safetensors"
        assert len(ddpm_cli.load(path).hash) == 64

    def test_settings_in_tables_or_by_keys(self) -> None:
        tables = ddpm_cli.load("mnist", settings={"sampler": {"name": "ddim", "eta": 0.5}})
        keys = ddpm_cli.load("mnist", settings={"sampler.name": "ddim", "sampler.eta": 0.5})
        assert tables.config == keys.config
        assert keys.config["sampler"]["eta"] == 0.5

    def test_it_is_quiet(self, capsys: pytest.CaptureFixture[str]) -> None:
        ddpm_cli.load(settings={"sampler.name": "dpm++2m"}).sample(0)
        assert capsys.readouterr() == ("", "")


RAMP = torch.linspace(0, 1, 784).reshape(28, 28)
IMAGE, SMALL = torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 8, 8)
TYPO: Any = "zeroshot"
BYTES = torch.arange(784).reshape(1, 1, 28, 28).remainder(256).byte()
CLAMPED, JUDGE = {"wrappers": [{"name": "clamp"}]}, "mnist-classifier"
WRONG: list[tuple[str, Callable[[Model], object]]] = [
    ("classes: no class is named '12'; did you mean 9?", lambda m: m.sample([0], classes=[12])),
    ("classes: no class is named 'x'", lambda m: m.sample([0], classes=["x"])),
    ("classes: 1 for 2 images", lambda m: m.sample([0, 1], classes=[7])),
    ("classes='0-4': several classes", lambda m: m.sample([0], classes=["0-4"])),
    ("seeds: -1 is no seed", lambda m: m.sample([-1])),
    ("seeds: 0.5 is no seed", lambda m: m.sample([0.5])),  # type: ignore[list-item]
    ("seeds: there is none", lambda m: m.sample([])),
    ("seeds: None is no seed", lambda m: m.sample(None)),  # type: ignore[arg-type]
    ("seeds: True is no seed", lambda m: m.sample([True])),
    ("classes: no class is named '3.5'", lambda m: m.sample(0, 3.5)),  # type: ignore[arg-type]
    ("classes: no class is named 'None'", lambda m: m.sample(0, [None])),  # type: ignore[list-item]
    ("batch: 0 does not fit", lambda m: m.sample(0, batch=0)),
    ("trace: 'foo' does not fit", lambda m: m.nll(IMAGE, trace="foo")),  # type: ignore[arg-type]
    ("method: 'foo' does not fit", lambda m: m.nll(IMAGE, method="foo")),  # type: ignore[arg-type]
    ("probes: 0 does not fit", lambda m: m.nll(IMAGE, probes=0)),
    ("bits: 9 does not fit", lambda m: m.nll(IMAGE, bits=9)),
    ("images: has other values than 8 levels", lambda m: m.nll(BYTES, bits=3)),
    ("trace: of no use", lambda m: m.nll(IMAGE, method="vlb", trace="exact")),
    ("samples: of no use", lambda m: m.nll(IMAGE, method="vlb", samples=2)),
    ("drawn: of no use with method ode", lambda m: m.nll(IMAGE, drawn=2)),
    ("drawn: 1 does not fit", lambda m: m.nll(IMAGE, method="vlb", drawn=1)),
    ("dequantize: 'normal' does not fit", lambda m: m.nll(IMAGE, dequantize="normal")),
    ("'zeroshot' does not fit; did you mean zero-shot?", lambda m: m.upscale(IMAGE, method=TYPO)),
    ("noise: -0.3 does not fit", lambda m: m.upscale(IMAGE, noise=-0.3)),
    ("foo: this model takes no such images", lambda m: m.denoise(IMAGE, 1.0, foo=IMAGE)),
    ("image: missing; a model for inpaint", lambda m: load("mnist-inpaint").denoise(IMAGE, 1.0)),
    ("factor: 'a' does not fit", lambda m: m.upscale(IMAGE, factor="a")),  # type: ignore[arg-type]
    ("model: int; give a path", lambda m: ddpm_cli.load(5)),  # type: ignore[arg-type]
    ("holdout: 'a' does not fit", lambda m: ddpm_cli.train(IMAGE, holdout="a")),  # type: ignore[arg-type]
    ("is a file; name a folder", lambda m: ddpm_cli.train(IMAGE, output=__file__)),
    ("x: NoneType", lambda m: m.denoise(None, 1.0)),  # type: ignore[arg-type]
    ("scorer='a.pkl': a pickle", lambda m: m.guide(0, scorer="a.pkl")),
    ("particles: which reward", lambda m: m.guide(0, particles=2)),
    ("particles: 0 does not fit", lambda m: m.guide(0, reward=len, particles=0)),
    ("reward: 3 is none", lambda m: m.guide(0, reward=3)),  # type: ignore[arg-type]
    ("classifier: 3 is none", lambda m: m.guide(0, classifier=3)),  # type: ignore[arg-type]
    ("values that are not finite", lambda m: m.decode(IMAGE * torch.nan)),
    ("settings: list", lambda m: m.encode(IMAGE, settings=[1])),  # type: ignore[arg-type]
    ("images: of shape 1x1x8x8, the model takes Nx1x28x28", lambda m: m.encode(SMALL)),
    ("images: values up to 255", lambda m: m.encode(IMAGE + 255)),
    ("images: of torch.int64", lambda m: m.nll(IMAGE.long())),
    ("images: values that are not finite", lambda m: m.nll(IMAGE * torch.nan)),
    ("images: list", lambda m: m.encode([0])),  # type: ignore[arg-type]
    ("masks: 784 different values", lambda m: m.inpaint(IMAGE, RAMP)),
    ("masks: values that are NaN", lambda m: m.inpaint(IMAGE, IMAGE[0, 0] * torch.nan)),
    ("classes='all': several classes", lambda m: m.inpaint(IMAGE, IMAGE[0, 0], classes="all")),
    ("masks: of shape 8x8", lambda m: m.inpaint(IMAGE, torch.ones(8, 8))),
    ("seeds: 2 for 1 images", lambda m: m.inpaint(IMAGE, torch.ones(28, 28), seeds=[1, 2])),
    ("latents: torch.float32 of shape 2x3", lambda m: m.decode(torch.zeros(2, 3))),
    ("sigma: give one level above 0", lambda m: m.denoise(IMAGE, 0.0)),
    ("x: torch.float32 of shape 1x3x28x28", lambda m: m.denoise(IMAGE.expand(1, 3, -1, -1), 1.0)),
    ("method='model': mnist was not trained", lambda m: m.inpaint(IMAGE, IMAGE, method="model")),
    ("was not trained to upscale", lambda m: m.upscale(IMAGE, method="model")),
    ("wrappers.clamp: no image would", lambda m: m.encode(IMAGE, settings=CLAMPED)),
    ("a classifier knows no such class", lambda m: m.guide(0, "none", classifier=JUDGE)),
    ("unconditional=True: only with a classifier", lambda m: m.guide(0, 7, unconditional=True)),
]  # fmt: skip


@pytest.mark.parametrize(("message", "call"), WRONG, ids=[message for message, _ in WRONG])
def test_wrong_arguments_are_value_errors(
    message: str, call: Callable[[Model], object], model: Model
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call(model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"model": "nosuch"}, "nosuch: no such file, run or bundled model"),
        ({"settings": {"smpler.eta": 1}}, "did you mean sampler?"),
        ({"settings": {"sampler.eta": "x"}}, "give a number"),
        ({"settings": {"network.width": 7}}, "the model was trained with"),
        ({"device": "tpu"}, "compute.device: no device is named 'tpu'"),
        ({"dtype": "float8"}, "compute.dtype: 'float8' does not fit"),
    ],
)
def test_wrong_models_are_value_errors(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ddpm_cli.load(**{"model": "mnist"} | words)


def test_models_for_given_images_draw_nothing() -> None:
    for name in ("mnist-inpaint", "mnist-upscale"):
        with pytest.raises(ValueError, match="given an image"):
            load(name).sample(0)
