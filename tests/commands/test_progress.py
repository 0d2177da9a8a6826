"""Every verb that walks shows how far it is within a batch, by the network's calls."""

from pathlib import Path
from typing import Any

import pytest
import runs

from ddpm_cli import console

pytestmark = pytest.mark.small

STEPS = 3
EDIT = ("--steps", STEPS, "-b", 2)
HOLE = ("--mask", "2,2,5,5")
VERBS: dict[str, tuple[tuple[Any, ...], int | None]] = {
    "sample": (("-n", 3), 3 * STEPS),
    "sample guided": (("-n", 3, "--set", "guidance.scale=2"), 3 * 2 * STEPS),
    "sample heun": (("-n", 3, "--sampler", "heun"), 3 * (2 * STEPS - 1)),
    "inpaint": (("a.png", "b.png", *HOLE), 2 * STEPS),
    "inpaint larger": (("a.png", "--panorama", "16x8", "--fit", "pad"), None),
    "upscale larger": (("a.png",), None),
    "upscale": (("a.png", "b.png", "--task", "deblur"), 2 * STEPS),
    "encode": (("a.png", "b.png", "c.png"), None),
    "encode unchecked": (("a.png", "b.png", "c.png", "--fast"), None),
    "interpolate": (("--seeds", "1,2", "-n", 5), 5 * (2 * STEPS - 1)),
    "interpolate images": (("a.png", "b.png", "-n", 5), None),
    "nll": (("a.png", "b.png"), None),
    "guide": (("--class", "3", "-n", 2), 2 * 2 * STEPS),
}


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[console.Progress]:
    """The displays of progress that a command makes, with the counts that each is told."""
    made: list[console.Progress] = []
    real = console.Progress.__init__

    def start(self: console.Progress, *words: Any) -> None:
        real(self, *words)
        made.append(self)

    monkeypatch.setattr(console.Progress, "__init__", start)
    return made


@pytest.mark.parametrize("name", VERBS)
def test_the_calls_of_each_move_are_counted(
    name: str, bars: list[console.Progress], abc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[int] = []
    real = console.Progress.advance

    def advance(self: console.Progress, count: int = 1, note: str = "") -> None:
        counts.append(count)
        real(self, count, note)

    monkeypatch.setattr(console.Progress, "advance", advance)
    words, expected = VERBS[name]
    out = {"encode": "out.safetensors", "inpaint": "out/", "upscale": "out/"}.get(
        name.split()[0], "out.png"
    )
    place = () if name == "nll" else ("-o", out)
    outcome = runs.ddpm(name.split()[0], *words, *EDIT, *place, *runs.PLAIN)
    assert outcome.code == 0, outcome.err
    (bar,) = bars
    assert bar.unit == "network calls"
    assert bar.total is not None
    assert sum(counts) == bar.done
    assert bar.done == (expected or bar.done)
    assert bar.done == pytest.approx(bar.total, rel=0.2)
    assert len([count for count in counts if count]) >= STEPS
    assert max(counts) <= 4


def test_a_walk_that_takes_as_many_as_it_needs_has_no_total(
    bars: list[console.Progress], here: Path
) -> None:
    pytest.importorskip("torchdiffeq")
    outcome = runs.done("sample", "-n", 2, "--sampler", "ode", "-o", "a.png", *runs.PLAIN)
    (bar,) = bars
    assert bar.total is None
    assert bar.done > 10
    assert f"{bar.done / 2:.1f} network calls an image" in outcome.err


def test_a_sheet_of_a_training_is_counted(
    bars: list[console.Progress], data: Path, tmp_path: Path
) -> None:
    words = ("--set", "train.sheet_count=70")
    assert runs.train(data, tmp_path / "run", *words).code == 0
    steps, sheet = bars
    assert (steps.unit, steps.done) == ("steps", runs.STEPS)
    assert (sheet.unit, sheet.total, sheet.done) == ("calls of a sheet", 280, 280)
