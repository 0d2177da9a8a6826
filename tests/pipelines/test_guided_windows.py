"""Images larger than the model of which something is known, drawn whole by windows."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from large_images import stroke, values
from runs import Outcome, contents, ddpm, replayed

import ddpm_cli
from ddpm_cli.data import operators
from ddpm_cli.files.images.pixels import encode_png, read_metadata

STEPS = ("-m", "mnist", "--steps", 5, "--dtype", "float32")
SHAPE = (1, 28, 42)  # three windows
MASK = ("--restore", "mask", "--image", "wide.png", "--mask", "14,7,30,21")
CODE = "def same(x):\n    return x\n\n\ndef bright(x):\n    return x.mean((1, 2, 3))\n"
CODE += "\n\ndef sides(x, label):\n    return x.flatten(1)[:, :10]\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run: an image of a stroke that goes through all of its windows."""
    monkeypatch.chdir(tmp_path)
    Path("digit.png").write_bytes(encode_png(stroke(SHAPE)[:, :, :28].contiguous()))
    Path("lens.py").write_text(CODE)
    return tmp_path


def guide(*words: object, steps: tuple[object, ...] = STEPS) -> Outcome:
    outcome = ddpm("guide", *steps, *words)
    assert outcome.code == 0, outcome.err
    return outcome


def apart(first: str, second: str) -> float:
    """The largest difference in levels."""
    return float((values(first) - values(second)).abs().max() * 127.5)


@pytest.mark.parametrize(
    ("method", "most"),
    [((), 30), (("--method", "ddnm"), 1), (("--method", "pigdm"), 12), (("--method", "mmps"), 2)],
)
def test_a_hole_in_a_large_image(method: tuple[str, ...], most: float) -> None:
    """What is known is kept as the method promises, and calls of all windows are told."""
    words = (*MASK, *method, "--class", "none", "--steps", 20)
    told = guide(*words, "--json", "-o", "x.png")
    assert "wide.png: 42x28 pixels, trained on 28x28: 42x28 by 2 windows" in told.err
    each = {"ddnm": 0, "mmps": 4}.get(method[-1] if method else "", 1)
    found = re.search(r" 20 network calls( and (up to )?(\d+) gradients)? a window", told.err)
    assert found, told.err
    assert int(found[3] or 0) == 20 * each
    row = json.loads(told.out)
    assert (row["calls"], row.get("gradients", 0)) == (2 * 20, 2 * 20 * each)
    known = torch.ones(SHAPE, dtype=torch.bool)
    known[:, 7:21, 14:30] = False
    off = (values("x.png") - values("wide.png"))[0][known] * 127.5
    assert float(off.square().mean().sqrt()) < most
    assert apart("x.png", "wide.png") > 60, "made anew under the mask"


@pytest.mark.parametrize("method", [(), ("--method", "dps")])
def test_an_image_follows_from_its_seed(method: tuple[object, ...]) -> None:
    words = (*MASK, *method)
    guide(*words, "-n", 3, "-o", "some/")
    guide(*words, "-s", 2, "--batch", 1, "-o", "alone.png")
    assert apart("alone.png", "some/000002.png") <= 1.5
    assert apart("alone.png", "some/000001.png") > 60
    before = Path("alone.png").read_bytes()
    assert ddpm(*replayed("alone.png"), "--force").code == 0
    assert Path("alone.png").read_bytes() == before


@pytest.mark.parametrize("kind", ["upscale", "deblur", "jpeg"])
@pytest.mark.parametrize("numbers", [False, True])
def test_what_local_operators_leave_of_a_large_image(kind: str, *, numbers: bool) -> None:
    """The measurement is one of the whole image, as a file of pixels or of numbers."""
    seen = getattr(operators, kind)(SHAPE)
    y = seen(values("wide.png"))[0]
    np.save("y.npy", y.numpy())
    Path("y.png").write_bytes(encode_png((127.5 * y + 127.5).round().clamp(0, 255).byte()))
    method = ("--method", "diffpir" if kind == "jpeg" else "ddnm")
    guide("--restore", kind, "--image", "y.npy" if numbers else "y.png", *method, "-o", "x.png")
    assert values("x.png").shape[1:] == SHAPE
    error = (seen(values("x.png")) - y).square().mean().sqrt()
    assert float(error) < (0.25 if kind == "jpeg" else 0.03)


def test_the_record_says_what_was_known() -> None:
    guide(*MASK, "--method", "ddrm", "-o", "x.png")
    record = read_metadata(Path("x.png"))
    assert record["settings"]["method"]["name"] == "ddrm"
    assert len(record["guides"]) == 1


def test_a_large_image_in_python_and_by_sample() -> None:
    """Guides that settings name see large images, too, in every verb that draws from noise."""
    table = {"name": "restore", "image": "wide.png", "mask": ["14,7,30,21"]}
    model = ddpm_cli.load("mnist", settings={"levels": {"count": 5}}, dtype="float32")
    made = model.guide([0, 1], settings={"guides": [table]}, batch=1)
    assert made.shape == (2, *SHAPE)
    setting = "guides=[{name='restore', image='wide.png', mask=['14,7,30,21']}]"
    assert ddpm("sample", *STEPS, "--set", setting, "-n", 2, "-o", "s/").code == 0
    off = [made[row] - values(f"s/00000{row}.png")[0] for row in (0, 1)]
    assert max(float(one.abs().max()) for one in off) < 2 / 127.5


def test_particles_and_scorers_see_whole_images() -> None:
    words = (*MASK, "--method", "pigdm", "--sampler", "ddpm")
    told = guide(*words, "--reward", "lens.py:bright", "--particles", 2, "--json", "-o", "p.png")
    assert json.loads(told.out)["calls"] == 2 * 2 * 5
    plain = guide(*MASK, "-o", "plain.png")
    assert "steered by restore" in plain.err
    guide(*MASK, "--guide", "restore:scale=1", "--scorer", "lens.py:bright", "-o", "bright.png")
    assert values("p.png").shape[1:] == values("bright.png").shape[1:] == SHAPE


def test_frames_of_the_walk_are_as_large() -> None:
    guide(*MASK, "--trajectory", "walk.npz", "-o", "x.png")
    assert np.load("walk.npz")["states"].shape[-3:] == SHAPE


def test_a_cascade_goes_on_with_what_is_larger() -> None:
    words = ("-m", "mnist,mnist-upscale", "--steps", 3, "--dtype", "float32")
    guide(*MASK, "--downscale", "-o", "x.png", steps=words)
    assert values("x.png").shape[-2] == 28


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*MASK, "--guide", "restore:image=digit.png"), "said by a flag of its own"),
        ((*MASK, "--init", "digit.png", "--at", "50%"), "and the image of --init is not"),
        ((*MASK, "--classifier", "lens.py:sides", "--class", 3), "the guide classifier is not"),
        (("--restore", "fourier", "--image", "fourier.npy"), "fourier sees all of an image"),
        (("--restore", "sensing", "--image", "sensing.npy"), "sensing sees all of an image"),
        (("--restore", "lens.py:same", "--image", "wide.npy"), "code of yours may see all"),
        (("--restore", "lens.py:same", "--image", "wide.png"), "code of yours may see all"),
        (("--restore", "mask", "--mask", "1,1,9,9", "--image", "-"), "or give a file"),
        (("--restore", "mask", "--mask", "1,1,9,9", "--image", "low.png"), "42x20 pixels"),
    ],
)
def test_refusals(words: tuple[object, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, and before any work."""
    Path("low.png").write_bytes(encode_png(torch.zeros(1, 20, 42, dtype=torch.uint8)))
    np.save("wide.npy", values("wide.png")[0].numpy())
    for kind in (operators.fourier, operators.sensing):
        np.save(f"{kind.__name__}.npy", kind(SHAPE)(values("wide.png"))[0].numpy())
    given = io.TextIOWrapper(io.BytesIO(Path("wide.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    before = contents(Path())
    outcome = ddpm("guide", *STEPS, *words, "-o", "x.png")
    assert outcome.code in (1, 2), outcome.out
    assert outcome.err.count("Error:") == 1
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert contents(Path()) == before


def test_a_dry_run_says_how_many_windows() -> None:
    shown = guide(*MASK, "--method", "mmps", "-n", 3, "--dry-run")
    assert "by 2 windows" in shown.err
    assert "3 images, 5 steps, 5 network calls and up to 20 gradients a window; " in shown.err


def test_a_mask_of_a_large_image_is_checked() -> None:
    told = guide(*MASK, "--check", "--json")
    assert json.loads(told.out)["x"] == list(SHAPE)


def test_fit_makes_one_window_of_it() -> None:
    told = guide(*MASK, "--fit", "resize", "-o", "x.png")
    assert "windows" not in told.err
    assert values("x.png").shape[1:] == (1, 28, 28)
