"""Samplers at equal network calls: scores, and distance to the converged probability-flow ODE.

All walk from the same noise at the same first level to the same last one, each on several
spacings between them; the last move, to level 0, takes the clean image at the last level.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from cells import Record, Row, Subject, markdown, number, say, with_moments
from scoring import Scorer
from torch import Tensor

from ddpm_cli.settings.config import Config

CALLS = (5, 10, 20)


class Solver(NamedTuple):
    """A sampler's knobs, and whether it solves the probability-flow ODE."""

    sampler: dict[str, Any]
    deterministic: bool = True

    @property
    def needs_moments(self) -> bool:
        """Whether `ddpm fit` has to be run on the model first."""
        return self.sampler.get("variance") == "optimal"


DDIM = {"name": "ddim", "eta": 0.0}
OPTIMAL = DDIM | {"variance": "optimal", "clip_pixels": 2.0}
SOLVERS = {
    "ddim": Solver(DDIM),
    "heun": Solver({"name": "heun"}),
    "dpm-solver++": Solver({"name": "dpm-solver-pp-multi"}),
    "dpm-solver++ 3M": Solver({"name": "dpm-solver-pp-multi", "order": 3}),
    "unipc": Solver({"name": "unipc"}),
    "analytic-ddim": Solver(OPTIMAL, deterministic=False),
}
SPACINGS = ("time", "karras", "logsnr")
# Two methods and two spacings that share nothing must come to the same image.
REFERENCE, WITNESS = ("heun", "karras"), ("dpm-solver++", "logsnr")
AGREED = 0.1  # of the smallest distance: as far apart as reference and witness may be


class Axis(NamedTuple):
    """What all walks have in common, and how the reference is drawn."""

    start: float
    last: float
    reference_calls: int
    images: int


class Cells(NamedTuple):
    """Scores by (sampler, spacing, calls), and how far the witness is from the reference."""

    rows: dict[tuple[str, str, int], Row]
    gap: float | None


def subjects(
    subject: Subject, name: str, samplers: Sequence[str], moments: Path | None
) -> dict[str, Subject]:
    """The model for each sampler: with its moments where they are needed."""
    chosen = dict.fromkeys(samplers, subject)
    for sampler in chosen:
        if SOLVERS[sampler].needs_moments:
            config = subject.config({"sampler": SOLVERS[sampler].sampler})
            chosen[sampler] = with_moments(subject, name, config, moments)
    return chosen


def walk_of(subject: Subject, sampler: str, spacing: str, axis: Axis, calls: int) -> Config:
    """The configuration that costs at most so many calls between the ends of the axis."""
    ends = {"low": axis.last, "high": axis.start}
    tables = {"sampler": SOLVERS[sampler].sampler, "levels": {"name": "karras", **ends}}
    count = subject.fitted(tables, calls)["levels"]["count"]
    if spacing != "time":
        return subject.config(tables | {"levels": {"name": spacing, "count": count, **ends}})
    sigmas = even_in_time(subject, axis, count)
    return subject.config(tables | {"levels": {"name": "explicit", "sigmas": sigmas}})


def even_in_time(subject: Subject, axis: Axis, count: int) -> list[float]:
    """Levels at even times of the model's process, ends included: DDIM's own spacing."""
    schedule = subject.model.schedule
    ends = schedule.time(torch.tensor([axis.start, axis.last], dtype=torch.float64)).tolist()
    inner = schedule.sigma(torch.linspace(*ends, count, dtype=torch.float64)).tolist()[1:-1]
    return [axis.start, *inner, axis.last][: max(count, 1)]


def distance(x: Tensor, y: Tensor) -> float:
    """Root mean square difference a pixel, where images span [-1, 1]."""
    return float((x.double() - y.double()).square().mean().sqrt())


class Reference:
    """The converged images, drawn when the first missing cell asks for them."""

    def __init__(self, subject: Subject, axis: Axis) -> None:
        self._subject, self._axis = subject, axis
        self._x: Tensor | None = None

    def drawn(self, name: tuple[str, str]) -> Tensor:
        """The images of one method at the calls of the reference."""
        say(f"reference: {' on '.join(name)}, {self._axis.reference_calls} calls")
        config = walk_of(self._subject, *name, self._axis, self._axis.reference_calls)
        return self._subject.draw(config, self._axis.images)

    def __call__(self) -> Tensor:
        """The images of the reference."""
        if self._x is None:
            self._x = self.drawn(REFERENCE)
        return self._x

    def gap(self) -> Row:
        """How far another method is from it."""
        return {"distance": distance(self.drawn(WITNESS), self())}


def measure(
    chosen: Mapping[str, Subject],
    scorer: Scorer,
    record: Record,
    axis: Axis,
    calls: Sequence[int],
    images: int,
    spacings: Sequence[str] = SPACINGS,
) -> Cells:
    """Measure every cell that the record lacks."""
    rows: dict[tuple[str, str, int], Row] = {}
    plain = next((s for name, s in chosen.items() if not SOLVERS[name].needs_moments), None)
    reference = None if plain is None else Reference(plain, axis)
    for sampler, subject in chosen.items():
        for spacing in spacings:
            for limit in sorted(set(calls)):
                config = walk_of(subject, sampler, spacing, axis, limit)
                exact = reference if SOLVERS[sampler].deterministic else None
                key = subject.key(config, images) | {"axis": axis._asdict() if exact else None}
                row = record(key, _scored, subject, scorer, config, images, exact, axis)
                rows[sampler, spacing, limit] = row
                say(f"{sampler}, {spacing}, {row['calls']} calls: {row['frechet']:.2f}")
    if plain is None or reference is None:
        return Cells(rows, None)
    key = plain.key(plain.model.config, axis.images) | {"axis": axis._asdict(), "gap": WITNESS}
    return Cells(rows, record(key, reference.gap)["distance"])


def _scored(
    subject: Subject,
    scorer: Scorer,
    config: Config,
    images: int,
    exact: Reference | None,
    axis: Axis,
) -> Row:
    row, x = subject.score(scorer, config, images)
    return row if exact is None else row | {"distance": distance(x[: axis.images], exact())}


class Claim(NamedTuple):
    """Distances of a sampler at 10 calls and of ddim at 20, on levels as said."""

    sampler: str
    levels: str
    there: float
    ddim: float

    @property
    def holds(self) -> bool:
        """Whether the sampler is at least as close to the ODE."""
        return self.there <= self.ddim

    def line(self) -> str:
        """One line of a Markdown list."""
        text = f"{self.sampler} at 10 calls is at least as close to the ODE as ddim at 20"
        figures = f"{self.levels}: {self.there:.4f}, {self.ddim:.4f}"
        return f"* {'holds' if self.holds else 'does not hold'}: {text} ({figures})"


def claims(cells: Cells) -> list[Claim]:
    """The claim on every spacing that both were measured on, and on the best one of each."""
    old = _distances(cells, "ddim", 20)
    statements = []
    for name in ("dpm-solver++", "dpm-solver++ 3M"):
        new = _distances(cells, name, 10)
        statements += [Claim(name, f"{at} levels", new[at], old[at]) for at in new if at in old]
        if new and old:
            best = "the best levels of each"
            statements.append(Claim(name, best, min(new.values()), min(old.values())))
    return statements


def _distances(cells: Cells, sampler: str, calls: int) -> dict[str, float]:
    """Distance by spacing."""
    return {
        key[1]: row["distance"]
        for key, row in cells.rows.items()
        if (key[0], key[2]) == (sampler, calls)
    }


def agreement(cells: Cells, axis: Axis) -> list[str]:
    """A line on how well the reference is known."""
    if cells.gap is None:
        return []
    distances = [row["distance"] for row in cells.rows.values() if "distance" in row]
    good = cells.gap <= AGREED * min(distances, default=cells.gap)
    text = f"{' on '.join(WITNESS)} is {cells.gap:.5f} from the reference"
    verdict = "agreed" if good else "not agreed well enough: raise --reference-calls"
    return [f"* {text}, {' on '.join(REFERENCE)}, at {axis.reference_calls} calls: {verdict}"]


def report(cells: Cells, axis: Axis) -> str:
    """Tables of Frechet distance with agreement and of distance, and the claims."""
    calls = sorted({key[2] for key in cells.rows})
    names = list(dict.fromkeys((sampler, spacing) for sampler, spacing, _ in cells.rows))
    scores, distances = [], []
    for sampler, spacing in names:
        at = [cells.rows[sampler, spacing, n] for n in calls]
        shown = [f"{number(row['frechet'])} ({row.get('agreement', 0):.1%})" for row in at]
        scores.append([sampler, spacing, *shown])
        if "distance" in at[0]:
            distances.append([sampler, spacing, *(number(row["distance"], 4) for row in at)])
    heading = ["sampler", "levels", *(f"{n} calls" for n in calls)]
    parts = [
        f"All from level {axis.start:g} to {axis.last:g}. Frechet distance (agreement):",
        markdown(heading, scores),
    ]
    if distances:
        text = "Distance to the probability-flow ODE, rms a pixel of [-1, 1]"
        parts += [f"{text}, {axis.images} images:", markdown(heading, distances)]
        parts.append("\n".join([*agreement(cells, axis), *(c.line() for c in claims(cells))]))
    return "\n\n".join(parts)


def as_json(cells: Cells) -> list[Row]:
    """One object a cell, then the gap and the claims."""
    rows: list[Row] = [
        {"sampler": sampler, "spacing": spacing, "limit": limit, **row}
        for (sampler, spacing, limit), row in cells.rows.items()
    ]
    verdicts = [{**one._asdict(), "holds": one.holds} for one in claims(cells)]
    return [*rows, {"gap": cells.gap}, *verdicts]
