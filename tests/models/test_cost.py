"""What a walk costs, what planning says of its levels, and that this is what is done."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import done
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.models.cost import Cost, fit_calls, plan
from ddpm_cli.settings import catalog, methods
from ddpm_cli.settings.config import Config

QUADRATIC = {"name": "quadratic", "count": 100, "reach": 0.8}
FEW = ("--steps", 4, "--json")
IMAGES = ("a.png", "b.png", "c.png")
CODE = """
def bright(x):
    return x.flatten(1).mean(1)


def sides(x, label):
    return x.flatten(1)[:, :10]
"""
# How much of a method is made, so that a test is short and no rounds end before the last.
MORE: dict[str, tuple[object, ...]] = {
    "repaint": ("--set", "edits=[{name='jumps', lengths=[2], visits=[2]}]"),
    "daps": ("--steps", 2, "--set", "method.steps=3"),
    "mmps": ("--set", "method.tolerance=1e-9"),
}
SCORER, PARTICLES = "--scorer lens.py:bright", "--reward lens.py:bright --particles 3"
# Options of guides, and how many gradients each network call of theirs takes.
GUIDES = [
    (f"sample {SCORER}", 1),
    (f"guide {SCORER} --sampler heun", 1),
    (f"guide {SCORER} --sampler ddpm {PARTICLES}", 1),
    (f"guide --sampler ddpm {PARTICLES}", 0),
    ("guide --classifier lens.py:sides --class 3", 0),
    (f"guide --classifier lens.py:sides --class 3 {SCORER}", 1),
    ("guide --restore deblur --image a.png", 1),
    (f"guide --restore deblur --image a.png --method pigdm {SCORER}", 2),
    (f"guide --restore deblur --image a.png --method dps {SCORER}", 2),
    (f"guide --class 3 --set guidance.scale=2 {SCORER}", 1),
    (f"inpaint a.png b.png --mask 2,2,5,5 {SCORER}", 1),
    (f"inpaint a.png --mask 2,2,5,5 {SCORER} --set edits=[{{name='jumps',lengths=[2]}}]", 1),
    (f"upscale a.png b.png --task deblur {SCORER}", 1),
    (f"upscale a.png b.png --task deblur --degrade --method pigdm {SCORER}", 2),
    (f"interpolate --seeds 1,2 -n 3 {SCORER}", 1),
]


@pytest.fixture(scope="module")
def finished(finished_small: Path) -> Path:
    """A model whose network is small: no test here asks anything of it."""
    return finished_small


class _Seen(torch.autograd.Function):
    """What is given, whose gradients are noted by the rows that they have."""

    @staticmethod
    def forward(ctx: Any, x0: Tensor, rows: list[int]) -> Tensor:
        ctx.rows = rows
        return x0.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        ctx.rows.append(len(slope))
        return slope, None


@pytest.fixture
def network(abc: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[int], list[int]]:
    """The rows of all calls of networks, and of all gradients through them."""
    calls, gradients, real = list[int](), list[int](), Denoiser.forward

    def forward(self: Denoiser, x: Tensor, sigma: Tensor, **condition: Any) -> Prediction:
        calls.append(len(x))
        prediction = real(self, x, sigma, **condition)
        return prediction._replace(x0=_Seen.apply(prediction.x0, gradients))

    monkeypatch.setattr(Denoiser, "forward", forward)
    (abc / "lens.py").write_text(CODE)
    return calls, gradients


def agreed(words: tuple[object, ...], network: tuple[list[int], list[int]]) -> tuple[int, int]:
    """The calls and gradients of an image, as they are announced, told, and counted."""
    outcome = done(*words, "-o", "out/", "--force")
    found = re.search(r"(\d+) network calls?( and (up to )?(\d+) gradients?)?", outcome.err)
    assert found, outcome.err
    planned = int(found[1]), int(found[4] or 0)
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert {(row["calls"], row.get("gradients", 0)) for row in rows} == {planned}
    calls, gradients = map(sum, network)
    assert (calls, gradients) == (len(rows) * planned[0], len(rows) * planned[1])
    dry = done(*words, "-o", "out/", "--dry-run")
    assert found[0] in dry.err
    return planned


@pytest.mark.parametrize("verb", ["inpaint", "upscale", "guide"])
@pytest.mark.parametrize("name", methods.NAMES)
def test_a_method_takes_what_is_announced(
    name: str, verb: str, network: tuple[list[int], list[int]]
) -> None:
    kinds = {
        "inpaint": (*IMAGES, "--mask", "2,2,5,5"),
        "upscale": (*IMAGES, "--task", "deblur", "--degrade"),
        "guide": ("--restore", "deblur", "--image", "a.png", "-n", 3),
    }
    jumps = verb == "inpaint" and name == "repaint"
    more = ("--jump", 2, "--resample", 2) if jumps else MORE.get(name, ())
    calls, gradients = agreed((verb, *kinds[verb], *FEW, *more, "--method", name), network)
    each = {"pigdm": 1, "dps": 1, "mmps": 4}.get(name, 0)
    assert gradients == each * calls


@pytest.mark.parametrize("sampler", ["heun", "ddpm", "dpm-solver-3"])
def test_dps_takes_one_gradient_a_step(sampler: str, network: tuple[list[int], list[int]]) -> None:
    words = ("upscale", *IMAGES, "--task", "deblur", "--degrade", "--method", "dps", *FEW)
    assert agreed((*words, "--sampler", sampler), network)[1] == 4


@pytest.mark.parametrize(("words", "each"), GUIDES)
def test_a_guide_takes_what_is_announced(
    words: str, each: int, network: tuple[list[int], list[int]]
) -> None:
    calls, gradients = agreed((*words.split(), *FEW), network)
    assert gradients == each * calls


@pytest.mark.parametrize("name", catalog.names("guidance"))
@pytest.mark.parametrize("method", ["", "pigdm", "mmps", "dps"])
def test_two_passes_take_two_gradients_within_their_interval(
    name: str, method: str, network: tuple[list[int], list[int]]
) -> None:
    """CFG-Zero* asks the network at its first moves, and makes nothing of what it says."""
    scale = ("--set", f"guidance.name={name}", "--set", "guidance.scale=0.8")
    words = ("guide", "--class", 3, *scale, "--set", "guidance.high=1.0", "-n", 2)
    known = ("--restore", "deblur", "--image", "a.png")
    how = ("--method", method, *MORE.get(method, ())) if method else ()
    calls, gradients = agreed((*words, *known, *how, *FEW), network)
    assert 4 < calls < 8
    assert gradients == calls * (4 if method == "mmps" else 1)
    every = (*words, "--set", "guidance.high=1e6", *known, *how, *FEW)
    for rows in network:
        rows.clear()
    calls, gradients = agreed(every, network)
    assert calls == 8
    assert gradients == (6 if name == "cfg-zero" else 8) * (4 if method == "mmps" else 1)


def test_a_solver_that_chooses_its_steps_takes_gradients_as_it_needs_them(
    network: tuple[list[int], list[int]],
) -> None:
    words = ("--task", "deblur", "--degrade", "--method", "pigdm", "--sampler", "ode")
    outcome = done("upscale", "a.png", *words, "--json", "-o", "out/")
    assert "network calls and gradients as an image needs them" in outcome.err
    row = json.loads(outcome.out)
    assert row["calls"] == row["gradients"] == sum(network[1])


def test_what_is_known_of_rows_takes_a_gradient_each(
    roll: Path, network: tuple[list[int], list[int]]
) -> None:
    Path("gappy.csv").write_text("0.5,\n1.0,\n")
    words = ("inpaint", "gappy.csv", "-m", roll, "--sampler", "ddim", *FEW, "-o", "out/")
    outcome = done(*words)
    assert "4 network calls a row, and in each a gradient for each value" in outcome.err
    row = json.loads(outcome.out)
    assert (row["calls"], row["gradients"], sum(network[1])) == (4, 4, 8)


def test_costs_in_words() -> None:
    assert Cost(3, 1, 1).words() == "1 network call and 1 gradient an image"
    assert (
        Cost(3, 6, 24, is_most=True).words("a row")
        == "6 network calls and up to 24 gradients a row"
    )
    assert Cost(3, 6).words() == "6 network calls an image"
    assert Cost(3, None).words() == "network calls as an image needs them"
    assert Cost(3, 6, 24).times(2) == Cost(3, 12, 48)


def config(levels: dict[str, Any]) -> Config:
    return {"sampler": {"name": "ddim"}, "levels": levels, "edits": []}


def test_what_a_list_dropped_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    fit_calls(config(QUADRATIC), cosine(), 91)
    assert capsys.readouterr().err == "", "nothing is said of lists that are tried"
    assert plan(config(QUADRATIC), cosine()) == Cost(96, 96)
    said = "levels.quadratic: 4 of 100 levels repeat others and are left out\n"
    assert capsys.readouterr().err == said


def test_ends_that_nobody_chose_are_moved_without_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    karras = {"name": "karras", "count": 5, "rho": 7.0, "low": 0.002, "high": 80.0}
    plan(config(karras), cosine())
    assert capsys.readouterr().err == ""
    plan(config(karras | {"low": 0.001}), cosine())
    assert "levels.karras: low 0.001 is below the process and moved to" in capsys.readouterr().err
