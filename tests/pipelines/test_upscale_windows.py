"""Measurements of images larger than the model, of which named methods make windows."""

import io
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from large_images import stroke, values
from runs import contents, ddpm, done, replayed

from ddpm_cli import console
from ddpm_cli.data import operators
from ddpm_cli.files.images.pixels import encode_png
from ddpm_cli.settings import methods

STEPS = ("-m", "mnist", "--steps", 5, "--dtype", "float32")
SHAPE = (1, 29, 43)  # odd: half of it is 14 or 15 by 22
CODE = "def same(x):\n    return x\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where commands run: an image of a stroke that goes through all of its windows."""
    monkeypatch.chdir(tmp_path)
    stroke(SHAPE)
    Path("lens.py").write_text(CODE)
    return tmp_path


@pytest.mark.parametrize("name", methods.NAMES)
def test_each_method_makes_windows(name: str) -> None:
    few: tuple[object, ...] = ("--set", "edits=[{name='jumps', lengths=[2], visits=[2]}]")
    few = few if name == "repaint" else ()
    few = ("--steps", 2, "--set", "method.steps=3") if name == "daps" else few
    words = ("--degrade", "--task", "deblur", *STEPS, *few, "--method", name, "--json")
    told = done("upscale", "wide.png", *words, "-n", 2, "-o", "u/")
    line = json.loads(told.out.splitlines()[1])
    assert "wide.png: 43x29 pixels, trained on 28x28: 43x29 by 6 windows" in told.err
    assert line["calls"] % 6 == 0
    path = Path("u/wide-000001.png")
    assert values(str(path)).shape[1:] == SHAPE
    before = path.read_bytes()
    done(*replayed(path), "--force")
    assert path.read_bytes() == before


def test_windows_are_announced_as_far_as_headers_tell_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the calls of all of them are those that progress counts from its begin on."""
    Path("usual.png").write_bytes(encode_png(torch.zeros(1, 28, 28, dtype=torch.uint8)))
    words = ("--task", "deblur", *STEPS, "--method", "ddnm")

    def said(*given: object) -> str:
        return done("upscale", *words, *given, "--dry-run", "-o", "x/").err

    assert "1 image, 5 steps, 5 network calls an image" in said("usual.png")
    assert "3 images, 5 steps, 5 network calls an image" in said("usual.png", "-n", 3)
    both = ("usual.png", "wide.png", "-n", 2)
    assert "4 images by 14 windows, 5 steps, 5 network calls a window" in said(*both)
    assert "1 image by 2 windows" in said("wide.png", "--task", "upscale", "--downscale")
    assert "1 image, 5 steps, 5 network calls an image" in said("wide.png", "--fit", "crop")
    assert "2 images, 5 steps, 5 network calls a window" in said(*both, "--shard", "1/2")
    np.save("y.npy", np.zeros((1, 28, 42), dtype=np.float32))
    assert "1 image by 2 windows" in said("y.npy")
    bars, real = list[int | None](), console.Progress.__init__

    def start(self: console.Progress, total: int | None, *rest: Any) -> None:
        bars.append(total)
        real(self, total, *rest)

    monkeypatch.setattr(console.Progress, "__init__", start)
    rows = done("upscale", *both, *words, "--json", "-o", "x/").out.splitlines()
    assert bars == [14 * 5] == [sum(json.loads(row)["calls"] for row in rows)]


def test_what_is_read_but_once_is_not_looked_at_before(tmp_path: Path) -> None:
    """A pipe, whatever its name is, tells no size; it is there to be read when work begins."""
    os.mkfifo("pipe.png")
    words = ("pipe.png", "--task", "deblur", *STEPS, "--method", "ddnm", "-o", "x.png")
    assert "1 image, 5 steps, 5 network calls a window" in done("upscale", *words, "--dry-run").err
    data = Path("wide.png").read_bytes()
    writer = threading.Thread(target=Path("pipe.png").write_bytes, args=(data,))
    writer.start()
    told = done("upscale", *words)
    writer.join()
    assert "by 6 windows" in told.err
    assert values("x.png").shape[1:] == SHAPE


@pytest.mark.parametrize("task", ["upscale", "deblur", "jpeg"])
def test_a_whole_image_is_measured_as_a_file_of_it_would_be(task: str) -> None:
    """With --degrade the operator sees all of the image, not each window."""
    seen = getattr(operators, task)(SHAPE)
    y = seen(values("wide.png"))[0]
    np.save("y.npy", y.numpy())
    words = (*STEPS, "--task", task, "--method", "pigdm", "--noise", 0)
    line = json.loads(
        done("upscale", "wide.png", "--degrade", *words, "--json", "-o", "d.png").out
    )
    made = values("d.png")
    assert made.shape[1:] == SHAPE
    off = float((made - values("wide.png")).square().mean())
    assert line["psnr"] == pytest.approx(10 * np.log10(4 / off), abs=0.1)
    done("upscale", "y.npy", *words, "-o", "y.png")
    size = (1, *(2 * side for side in y.shape[1:])) if task == "upscale" else SHAPE
    assert values("y.png").shape[1:] == size
    if task != "upscale":
        assert float((made - values("y.png")).abs().max()) * 127.5 < 2


def test_results_follow_from_their_seeds_alone() -> None:
    words = ("--degrade", "--task", "deblur", *STEPS, "--method", "pigdm", "--noise", 0.1)
    done("upscale", "wide.png", *words, "-n", 3, "-o", "some/")
    done("upscale", "wide.png", *words, "-s", 2, "--batch", 1, "-o", "alone.png")
    assert float((values("alone.png") - values("some/wide-000002.png")).abs().max()) < 2 / 127.5
    assert float((values("alone.png") - values("some/wide-000001.png")).abs().max()) > 0.3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("wide.png", "--degrade", "--task", "fourier"), "fourier sees all of an image at once"),
        (("wide.png", "--degrade", "--task", "sensing"), "sensing sees all of an image at once"),
        (("wide.png", "--degrade", "--task", "lens.py:same"), "code of yours may see all"),
        (("wide.png", "--task", "lens.py:same"), "43x29 pixels, of an image larger"),
        (("-", "--task", "lens.py:same"), "43x29 pixels, of an image larger"),
        (("fourier.npy", "--task", "fourier"), "2x29x11, of an image larger than the model"),
        (("sensing.npy", "--task", "sensing"), "sensing sees all of an image at once"),
        (("low.png", "--task", "deblur"), "43x20 pixels, the model takes 28x28"),
        (("three.npy", "--task", "deblur"), "3x29x43 numbers, and the operator leaves 1x29x43"),
    ],
)
def test_refusals(words: tuple[object, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One error, and no file."""
    Path("low.png").write_bytes(encode_png(torch.zeros(1, 20, 43, dtype=torch.uint8)))
    np.save("three.npy", np.zeros((3, *SHAPE[1:])))
    for kind in (operators.fourier, operators.sensing):
        np.save(f"{kind.__name__}.npy", kind(SHAPE)(values("wide.png"))[0].numpy())
    given = io.TextIOWrapper(io.BytesIO(Path("wide.png").read_bytes()))
    monkeypatch.setattr(sys, "stdin", given)
    before = contents(Path())
    outcome = ddpm("upscale", *words, *STEPS, "--method", "pigdm", "-o", "x.png")
    assert outcome.code == 1, outcome.out
    assert outcome.err.count("Error:") == 1
    assert said in outcome.err
    assert contents(Path()) == before
