"""`ddpm guide --restore --method`: each method draws what is known, of each kind, again, too."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from runs import Outcome, contents, ddpm, replayed
from torch import Tensor

from ddpm_cli.data import operators
from ddpm_cli.files.images.pixels import encode_png, from_uint8, open_image, read_metadata
from ddpm_cli.settings import methods

STEPS = ("-m", "mnist", "--steps", 6, "--dtype", "float32")
CODE = "def halves(x):\n    return x[..., ::2]\n\n\ndef bright(x):\n    return x.mean((1, 2, 3))\n"
SHAPE = (1, 28, 28)


@pytest.fixture(scope="module")
def digit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One digit, without a record of its making."""
    path = tmp_path_factory.mktemp("digits") / "a.png"
    words = ("-m", "mnist", "--class", 7, "--steps", 10, "-o", path)
    assert ddpm("sample", *words).code == 0
    plain = encode_png(open_image(path, "L"))
    path.write_bytes(plain)
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("lens.py").write_text(CODE)
    return tmp_path


def values(path: Path) -> Tensor:
    return from_uint8(open_image(path, "L"))[None].double()


def guide(*words: object) -> Outcome:
    outcome = ddpm("guide", *STEPS, *words)
    assert outcome.code == 0, outcome.err
    return outcome


def drawn(*words: object) -> list[Tensor]:
    """The images of some seeds, in a folder."""
    guide(*words, "-o", "drawn/", "--force")
    return [values(path) for path in sorted(Path("drawn").iterdir())]


def extra(name: str) -> tuple[object, ...]:
    """What keeps a walk by a method of few steps short."""
    if name == "repaint":
        return ("--set", "edits=[{name='jumps', lengths=[2], visits=[2]}]")
    return ("--steps", 2, "--set", "method.steps=20") if name == "daps" else ()


def halves(x: Tensor) -> Tensor:
    return x[..., ::2]


def off(made: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> float:
    return float((made(x) - y).square().mean().sqrt())


@pytest.mark.parametrize("name", methods.NAMES)
def test_each_method_draws_what_is_known(digit: Path, name: str) -> None:
    """Images agree far better than free ones, differ by their seeds, and are made again."""
    words = ("--restore", "mask", "--image", digit, "--mask", "7,7,21,21", "--method", name)
    found = drawn(*words, *extra(name), "-n", 2)
    known = torch.ones(SHAPE, dtype=torch.bool)
    known[:, 7:21, 7:21] = False
    apart = [float((x - values(digit))[0][known].square().mean().sqrt()) for x in found]
    assert max(apart) < (0.35 if name == "dps" else 0.1)
    assert not torch.equal(*found)
    path = Path("drawn/000001.png")
    before = path.read_bytes()
    assert read_metadata(path)["settings"]["method"]["name"] == name.replace("+", "-plus").replace(
        "repaint", "replace"
    )
    assert ddpm(*replayed(path), "--force").code == 0
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", [name for name in methods.NAMES if name not in methods.EXACT])
def test_results_are_within_the_noise(digit: Path, name: str) -> None:
    made, level = operators.deblur(SHAPE, sigma=1.0), 0.2
    clean = made(values(digit))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0)).double()
    y = clean + level * noise
    np.save("y.npy", y[0].numpy())
    words = ("--restore", "deblur", "--set", "operator.sigma=1.0", "--image", "y.npy")
    few = extra(name) or ("--steps", 15)
    for x in drawn(*words, "--method", name, "--noise", level, *few, "-n", 2):
        assert off(made, x, y) < 1.6 * level


@pytest.mark.parametrize("kind", ["upscale", "jpeg", "fourier", "sensing", "lens.py:halves"])
def test_each_kind_that_an_operator_leaves(digit: Path, kind: str) -> None:
    """Without --method by pigdm, where a gradient alone would not do."""
    is_code = kind.startswith("lens")
    seen = halves if is_code else getattr(operators, kind)(SHAPE)
    y = seen(values(digit))
    np.save("y.npy", y[0].numpy())
    chosen = ("--method", "pigdm") if kind == "upscale" else ()
    told = guide("--restore", kind, "--image", "y.npy", *chosen, "-o", "x.png")
    assert "; restored by pigdm" in told.err
    assert ddpm("sample", *STEPS, "--class", "none", "-o", "free.png").code == 0
    apart = [off(seen, values(Path(name)), y) for name in ("x.png", "free.png")]
    assert apart[0] < 0.5 * apart[1]


def test_an_image_is_a_function_of_its_seed(digit: Path) -> None:
    words = ("--restore", "fourier", "--image", "y.npy", "--method", "ddrm", "--noise", 0.1)
    np.save("y.npy", operators.fourier(SHAPE)(values(digit))[0].numpy())
    several = drawn(*words, "-n", 3)
    guide(*words, "--seeds", 2, "-o", "alone.png")
    assert float((several[2] - values(Path("alone.png"))).abs().max()) <= 2 / 255 + 1e-6


def test_other_guides_add_to_it(digit: Path) -> None:
    words = ("--restore", "mask", "--image", digit, "--mask", "0,0,28,20", "--method", "pigdm")
    plain = drawn(*words, "-n", 2)
    bright = drawn(*words, "-n", 2, "--scorer", "lens.py:bright", "--scale", 500)
    assert all(float(b.mean()) > float(p.mean()) for b, p in zip(bright, plain, strict=True))
    guide(*words, "--class", 3, "--scale", 2, "-n", 1, "-o", "class.png")
    told = guide(
        *words, "--reward", "lens.py:bright", "--particles", 3, "--sampler", "ddpm", "-o", "p.png"
    )
    assert "3 particles" in told.err
    assert "restored by pigdm" in told.err


def test_a_dry_run_shows_both_tables_and_calls_are_true(digit: Path) -> None:
    words = ("--restore", "deblur", "--image", digit, "--method", "mmps")
    shown = guide(*words, "--dry-run")
    assert '[method]\nname = "mmps"' in shown.out
    assert '[operator]\nname = "deblur"' in shown.out
    assert "1 image, 6 steps, 6 network calls" in shown.err
    assert contents(Path()).keys() == {"lens.py"}


def test_code_is_not_run_by_a_record(digit: Path) -> None:
    np.save("y.npy", values(digit)[0, ..., ::2].numpy())
    guide("--restore", "lens.py:halves", "--image", "y.npy", "-o", "own.png")
    record = read_metadata("own.png")
    assert [len(digest) for digest in record["guides"]] == [64, 64]
    shown = ddpm("info", "own.png", "--command")
    assert "lens.py" not in shown.out
    assert "left out of the command" in shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--method", "ddrm"), "--method: only with --restore"),
        (("--noise", 0.1), "--noise: only with --restore"),
        (("--restore", "mask", "--method", "ddrm"), "--restore: of which image?"),
        (("--restore", "fourier", "--image", "a.png"), "an image, and fourier leaves 2x28x7"),
        (("--restore", "jpeg", "--image", "a.png", "--method", "ddrm"), "it needs singular"),
        (("--restore", "deblur", "--image", "a.png", "--method", "dps", "--noise", 0.1), "ask"),
        (
            ("--restore", "deblur", "--image", "a.png", "--method", "ddrm", "--sampler", "heun"),
            "ddrm has a step of its own",
        ),
        (
            ("--restore", "deblur", "--image", "a.png", "--method", "ddrm", "--set",
             "method.name=pigdm"),
            "method.name: chosen by --method; give --method pigdm",
        ),
        (
            ("--restore", "deblur", "--image", "a.png", "--method", "ddrm", "--set",
             "operator.name=jpeg"),
            "operator.name: chosen by --restore; give --restore jpeg",
        ),
        (
            ("--restore", "deblur", "--image", "a.png", "--method", "ddrm", "--guide", "restore"),
            "--guide restore: --method says already how",
        ),
        (("--restore", "lens.py:none", "--image", "a.png"), "no none is in the file"),
        (("--restore", "deblur", "--image", "no.png", "--method", "ddrm"), "no.png"),
        (("--restore", "blur", "--image", "a.png"), "no operator is named 'blur'"),
        (("--restore", "deblur", "--image", "y.npy", "--fit", "crop", "--method", "ddnm"), "numb"),
    ],
)  # fmt: skip
def test_refusals(digit: Path, words: tuple[object, ...], said: str) -> None:
    Path("a.png").write_bytes(digit.read_bytes())
    before = contents(Path())
    outcome = ddpm("guide", *STEPS, *words)
    assert outcome.code in (1, 2), outcome.out
    assert "Traceback" not in outcome.err
    assert said in outcome.err
    assert contents(Path()) == before


def test_lines_of_json(digit: Path) -> None:
    words = ("--restore", "mask", "--image", digit, "--mask", "7,7,21,21", "--method", "ddnm")
    lines = guide(*words, "-n", 2, "--json", "-o", "j/").out.splitlines()
    assert [json.loads(line)["seed"] for line in lines] == [0, 1]
