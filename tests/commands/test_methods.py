"""Methods of restoring by name: on digits, through upscale and inpaint, from the outside."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import Outcome, contents, ddpm, replayed

from ddpm_cli.data import operators
from ddpm_cli.files.images.pixels import encode_png, from_uint8, open_image, read_metadata
from ddpm_cli.settings import methods

STEPS = ("-m", "mnist", "--steps", 6, "--dtype", "float32")
CODE = "def halves(x):\n    return x[..., ::2]\n"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one digit, a.png."""
    folder = tmp_path_factory.mktemp("digits")
    words = ("-m", "mnist", "--class", 7, "--steps", 10, "-o", folder / "sample.png")
    assert ddpm("sample", *words).code == 0
    plain = encode_png(open_image(folder / "sample.png", "L"))  # without a record of its making
    (folder / "a.png").write_bytes(plain)
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lens.py").write_text(CODE)
    return tmp_path


def done(*words: object) -> Outcome:
    outcome = ddpm(*words)
    assert outcome.code == 0, outcome.err
    return outcome


def refused(*words: object) -> str:
    outcome = ddpm(*words)
    assert outcome.code in (1, 2), outcome.out
    assert "Traceback" not in outcome.err
    return outcome.err


@pytest.mark.parametrize("name", methods.NAMES)
def test_upscale_and_inpaint_know_each_method(digits: Path, name: str) -> None:
    """Results say how they were made again, and depend on the seed."""
    edits = ("--set", "edits=[{name='jumps', lengths=[2], visits=[2]}]")
    more = edits if name == "repaint" else ()
    few = ("--steps", 2, "--set", "method.steps=3") if name == "daps" else ()
    words = (*STEPS, *few, "--method", name, *more, "--json", "-n", 2)
    task = ("--task", "deblur", "--set", "operator.sigma=1.0", "--degrade")
    (line, *_) = done("upscale", digits / "a.png", *task, *words, "-o", "u/").out.splitlines()
    assert json.loads(line)["psnr"] > 5
    record = read_metadata(json.loads(line)["path"])
    assert record["settings"]["operator"]["name"] == "deblur"
    assert record["settings"]["method"]["name"] == methods.layer(name).values["method"]["name"]
    if name == "mmps":
        path = Path(json.loads(line)["path"])
        before = path.read_bytes()
        done(*replayed(path), "--force")
        assert path.read_bytes() == before
    jumps = ("--jump", 2, "--resample", 2) if name == "repaint" else ()
    words = (*STEPS, *few, "--method", name, *jumps, "--json", "-n", 2)
    done("inpaint", digits / "a.png", "--mask", "7,7,21,21", *words, "-o", "i/")
    one, other = (images_of(path) for path in sorted(Path("i").iterdir()))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("task", ["fourier", "sensing"])
def test_measurements_are_the_same_in_a_file_or_of_a_whole_image(digits: Path, task: str) -> None:
    pixels = images_of(digits / "a.png")
    made = getattr(operators, task)((1, 28, 28))
    np.save("y.npy", made(from_uint8(pixels)[None].double())[0].numpy())
    words = ("--task", task, *STEPS, "--method", "ddrm")
    done("upscale", "y.npy", *words, "-o", "of-numbers.png")
    done("upscale", digits / "a.png", "--degrade", *words, "-o", "of-image.png")
    ours, other = (images_of(Path(f"of-{name}.png")) for name in ("numbers", "image"))
    assert int((ours.int() - other.int()).abs().max()) <= 1
    line = done("upscale", "y.npy", *words, "-o", "again.png", "--json").out
    assert "error" in json.loads(line)
    assert "psnr" not in json.loads(line)


def images_of(path: Path) -> torch.Tensor:
    return open_image(path, "L")


def test_inpaint_with_noise_makes_what_is_known_anew(digits: Path) -> None:
    words = (digits / "a.png", "--mask", "7,7,21,21", *STEPS, "--method", "ddrm")
    done("inpaint", *words, "-o", "exact.png")
    done("inpaint", *words, "--noise", 0.3, "-o", "noisy.png")
    original = images_of(digits / "a.png")
    outside = torch.ones_like(original, dtype=torch.bool)
    outside[:, 7:21, 7:21] = False
    assert torch.equal(images_of(Path("exact.png"))[outside], original[outside])
    assert not torch.equal(images_of(Path("noisy.png"))[outside], original[outside])


@pytest.mark.parametrize("name", ["ddrm", "pigdm"])
def test_inpaint_with_noise_makes_all_of_a_large_image_anew(digits: Path, name: str) -> None:
    """By windows that walk together, whether a hole is in them or not."""
    clean = from_uint8(images_of(digits / "a.png")).repeat(1, 1, 2)
    noise = 0.3 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    y = (clean + noise).clamp(-1, 1)
    Path("y.png").write_bytes(encode_png((127.5 * y + 127.5).round().byte()))
    words = (*STEPS, "--steps", 15, "--method", name, "--noise", 0.3, "--mask", "2,2,8,8")
    told = done("inpaint", "y.png", *words, "-n", 2, "--json", "-o", "all/")
    assert "y.png: 3 windows" in told.err
    assert [json.loads(line)["calls"] for line in told.out.splitlines()] == [3 * 15] * 2
    made = from_uint8(images_of("all/y-000001.png"))
    halves = [slice(0, 28), slice(28, 56)]
    for half in halves:
        off = [(x - clean)[..., half].square().mean().sqrt() for x in (made, y)]
        assert float(off[0]) < 0.75 * float(off[1])
    done("inpaint", "y.png", *words, "-s", 1, "--batch", 1, "-o", "alone.png")
    again = from_uint8(images_of("alone.png"))
    assert float((again - made).abs().max()) < 2 / 127.5
    Path("lens.py").write_text("def sides(x, label):\n    return x.flatten(1)[:, :10]\n")
    judge = ("--classifier", "lens.py:sides", "--class", 3)
    assert "the guide classifier is not" in refused("inpaint", "y.png", *words, *judge)


def test_auto_with_noise_is_pigdm(digits: Path) -> None:
    words = (digits / "a.png", "--degrade", "--noise", 0.2, *STEPS)
    outcome = done("upscale", *words, "-o", "up.png", "--json")
    assert "upscale by pigdm" in outcome.err
    assert json.loads(outcome.out.splitlines()[0])["noise"] == 0.2


def test_own_operator_restores_and_is_not_run_by_a_record(digits: Path) -> None:
    words = ("--task", "lens.py:halves", *STEPS, "--method", "mmps", "--degrade")
    done("upscale", digits / "a.png", *words, "-o", "own.png")
    record = read_metadata("own.png")
    assert len(record["operators"][0]) == 64
    shown = done("info", "own.png", "--command")
    assert "lens.py" not in shown.out
    assert "left out of the command" in shown.err


def test_check_prints_both_sides() -> None:
    assert "<Ax, y> = " in done("upscale", "--task", "fourier", "-m", "mnist", "--check").out
    line = done("upscale", "--task", "lens.py:halves", "-m", "mnist", "--check", "--json").out
    found = json.loads(line)
    assert found["forward"] == pytest.approx(found["backward"], rel=1e-4)
    assert found["y"] == [1, 28, 14]


def test_check_is_of_every_verb_that_restores(digits: Path) -> None:
    """The same test of the same operator, and of masks, which images are needed for."""
    tested = "-m", "mnist", "--check", "--json"
    one = done("upscale", "--task", "fourier", *tested).out
    assert done("guide", "--restore", "fourier", *tested).out == one
    assert json.loads(done("guide", "--restore", "deblur", *tested).out)["gap"] < 1e-9
    mask = ("--mask", "7,7,21,21")
    filled = json.loads(done("inpaint", digits / "a.png", *mask, *tested).out)
    image = ("--image", digits / "a.png")
    guided = json.loads(done("guide", "--restore", "mask", *image, *mask, *tested).out)
    assert filled | {"operator": "mask"} == guided
    assert filled["forward"] == filled["backward"] != 0
    assert "--check: only with --restore" in refused("guide", *tested)
    assert "--restore: of which image?" in refused("guide", "--restore", "mask", *tested)
    said = refused("guide", "--restore", "deblur", *image, *tested)
    assert "--check: it restores nothing; leave --image out" in said
    assert contents(Path()).keys() == {"lens.py"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "fourier"), "an image, and fourier leaves 2x28x7 numbers"),
        (("--task", "jpeg", "--method", "ddrm"), "--method ddrm: it needs singular values"),
        (("--task", "jpeg", "--method", "mmps"), "--method mmps: it needs a linear map"),
        (("--method", "ddrm", "--sampler", "heun"), "ddrm has a step of its own"),
        (("--task", "jpeg", "--method", "repaint"), "--method repaint: it needs singular values"),
        (("--task", "jpeg", "--method", "ddnm+"), "--method ddnm+: it needs singular values"),
        (("--method", "ddnm+", "--sampler", "heun"), "ddnm+ has a step of its own"),
        (("--set", "method.name=ddnm-plus"), "method.name: give --method ddnm+"),
        (("--method", "ddnm", "--noise", 0.1), "ddnm does not ask for it"),
        (("--method", "ddnm", "--noise", 0.1, "--degrade"), "ddnm does not ask for it"),
        (("--method", "zero-shot", "--noise", 0.1), "zero-shot does not ask for it"),
        (("--method", "zero-shot", "--noise", 0.1, "--degrade"), "or use ddnm+"),
        (("--noise", 0.1, "--consistent"), "--noise: --consistent makes what is given exact"),
        (
            ("--method", "model", "--noise", 0.1),
            "but for --aug-noise; use that, or",
        ),
        (("--method", "repaint"), "jumps of 10 levels do not fit in a list of 4; give --steps 11"),
        (("--method", "ddrm", "--consistent"), "--consistent: not with --method ddrm"),
        (("--method", "daps", "--set", "edits=[]"), "--method daps: it is a corrector of its own"),
        (("--set", "method.name=ddrm"), "method.name: give --method ddrm"),
        (
            ("--task", "fourier", "--set", "operator.acceleration=99"),
            "acceleration: 99 leaves 0",
        ),
        (("--task", "lens.py:none"), "no none is in the file"),
        (("--check",), "--check: it restores nothing"),
        (("--method", "mmps", "-m", "mnist-upscale"), "--method mmps takes an unconditional"),
        (("--noise", 0.1, "-m", "mnist-upscale"), "--noise takes an unconditional"),
    ],
)
def test_refusals(digits: Path, words: tuple[object, ...], said: str) -> None:
    before = contents(Path())
    given = ("-m", "mnist") if "-m" not in words else ()
    assert said in refused("upscale", digits / "a.png", *given, "--steps", 4, *words)
    assert contents(Path()) == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "ddnm", "--noise", 0.1), "ddnm does not ask for it"),
        (("--method", "replace", "--noise", 0.1), "replace does not ask for it"),
        (("--method", "covariance", "--noise", 0.1), "covariance does not ask for it"),
        (("--method", "mmps", "--jump", 2), "--jump, --resample: RePaint's"),
        (("--method", "mmps", "-m", "mnist-inpaint"), "the model was trained to fill holes"),
        (("--noise", 0.1, "-m", "mnist-inpaint"), "--noise: the model was trained to fill holes"),
    ],
)
def test_refusals_of_inpaint(digits: Path, words: tuple[object, ...], said: str) -> None:
    given = ("-m", "mnist") if "-m" not in words else ()
    image = (digits / "a.png", "--mask", "7,7,21,21")
    assert said in refused("inpaint", *image, *given, "--steps", 4, *words)


@pytest.mark.parametrize("verb", ["upscale", "inpaint"])
def test_jumps_that_are_too_long_say_which_fit(digits: Path, verb: str) -> None:
    mask = ("--mask", "7,7,21,21") if verb == "inpaint" else ()
    words = (verb, digits / "a.png", *mask, "-m", "mnist", "--method", "repaint", "--steps", 4)
    found = re.search(r"--set '(.+)'", refused(*words))
    assert found
    done(*words, "--set", found[1], "--dry-run")
    done(*words[:-1], 11, "--dry-run")
    few = refused(*words[:-2], "--calls", 50)
    assert "--calls 50: too few for the 11 steps that edits.jumps needs" in few


@pytest.mark.parametrize("name", ["jpeg", "fourier", "own"])
def test_a_gradient_pulls_towards_images_alone(digits: Path, name: str) -> None:
    words = ("--restore", "deblur", "--image", digits / "a.png", "--set", f"operator.name={name}")
    said = refused("guide", "-m", "mnist", "--steps", 2, *words)
    assert f"guides.restore: operator {name}: it leaves no image" in said
    assert contents(Path()).keys() == {"lens.py"}
