"""Levels fitted to a model beside every spacing: distance to its ODE, and Frechet distance.

Every cell is kept in a record as soon as it is measured, so a stopped run goes on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import click
import torch
from cells import Record, Row, Subject, load, markdown, number, say, scored
from command_line import Job, measuring
from scoring import Scorer
from solver_axis import distance

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import find, level_fits
from ddpm_cli.pipelines.level_search import SPACINGS
from ddpm_cli.settings import catalog
from ddpm_cli.settings.config import Config

SAMPLERS: Mapping[str, Mapping[str, Any]] = {
    "ddim": {"name": "ddim", "eta": 0.0},
    "dpm++2m": {"name": "dpm-solver-pp-multi", "order": 2},
}
CALLS = (5, 10)
FITTED = "fitted"
# Heun's method from the highest level of any process to its lowest.
REFERENCE = {"name": "karras", "low": 1e-4, "high": 1e6}

Cells = dict[tuple[str, int, str], Row]  # by sampler, calls and levels


class Distances:
    """Tells how far from the ODE the first images of a walk end."""

    def __init__(self, subject: Subject, images: int, levels: int) -> None:
        self._subject, self._images, self._levels = subject, images, levels
        self._exact: torch.Tensor | None = None

    def __call__(self, config: Config) -> Row:
        """Root mean square a pixel."""
        if self._exact is None:
            say(f"reference: heun on {self._levels} levels, {self._images} images")
            levels = REFERENCE | {"count": self._levels}
            tables = {"sampler": {"name": "heun"}, "levels": levels}
            self._exact = self._subject.draw(self._subject.config(tables), self._images)
        drawn = self._subject.draw(config, self._images)
        return {"distance": distance(drawn, self._exact)}


def walks(subject: Subject, model: str, sampler: str, calls: int) -> dict[str, Config]:
    """The configurations of a sampler with so many calls, by what their levels are called."""
    made = {}
    for name, knobs in [*SPACINGS, (FITTED, {})]:
        unset = {knob.name: knob.default for knob in catalog.find("levels", name).knobs.values()}
        levels = {"name": name, **unset, "count": calls, **knobs}  # none of the model's own
        config = subject.config({"sampler": dict(SAMPLERS[sampler]), "levels": levels})
        try:
            config = level_fits.placed(config, find.find(model), subject.model.header)
            config = level_fits.inlined(config)
            subject.calls(config)
        except ConfigError as error:
            say(f"{name}, {calls} calls: {error}")
            continue
        made[" ".join([name, *(f"{knob}={value:g}" for knob, value in knobs.items())])] = config
    return made


def measured(
    subject: Subject,
    model: str,
    record: Record,
    samplers: Sequence[str],
    calls: Sequence[int],
    images: int,
    apart: Distances,
    distance_images: int,
    beside: int,
) -> Cells:
    """Every distance, and the Frechet distance of fitted levels and of the best spacings."""
    cells: Cells = {}
    scorer = Scorer() if images else None
    for sampler in samplers:
        for count in calls:
            configs = walks(subject, model, sampler, count)
            rows: dict[str, Row] = {}
            for name, config in configs.items():
                key = {"distance": distance_images, **subject.key(config, distance_images)}
                rows[name] = dict(record(key, apart, config))
                say(f"{sampler}, {count} calls, {name}: {rows[name]['distance']:.4f}")
            near = sorted(set(rows) - {FITTED}, key=lambda name: rows[name]["distance"])
            for name in [*({FITTED} & set(rows)), *near[:beside]] if scorer else []:
                key = subject.key(configs[name], images)
                rows[name] |= record(key, scored, subject, scorer, configs[name], images)
                say(f"{sampler}, {count} calls, {name}: {rows[name]['frechet']:.2f}")
            cells |= {(sampler, count, name): row for name, row in rows.items()}
    return cells


def report(cells: Cells) -> str:
    """A table of both distances, and whether fitted levels are the nearest in each column."""
    columns = list(dict.fromkeys((sampler, count) for sampler, count, _ in cells))
    names = dict.fromkeys(name for _, _, name in cells)
    lines = [[name, *(_cell(cells.get((*at, name))) for at in columns)] for name in names]
    heading = ["levels", *(f"{sampler}, {count} calls" for sampler, count in columns)]
    return "\n\n".join([markdown(heading, lines), *(_verdict(cells, *at) for at in columns)])


def _cell(row: Row | None) -> str:
    """The distance to the ODE, and the Frechet distance where it was measured."""
    if row is None:
        return "-"
    return number(row["distance"], 4) + (f" ({row['frechet']:.2f})" if "frechet" in row else "")


def _verdict(cells: Cells, sampler: str, count: int) -> str:
    rows = {name: row for (*at, name), row in cells.items() if at == [sampler, count]}
    words = []
    for what in ("distance", "frechet"):
        known = {name: row[what] for name, row in rows.items() if what in row}
        own = known.pop(FITTED, None)
        if own is not None and known:
            best = min(known, key=lambda name: known[name])
            holds = "below" if own < known[best] else "not below"
            words.append(f"{what} {own:.4g}, {holds} the best spacing ({best}, {known[best]:.4g})")
    return f"* {sampler}, {count} calls: {'; '.join(words)}"


def as_json(cells: Cells) -> list[Row]:
    """One object a cell."""
    return [
        {"sampler": sampler, "calls": count, "levels": name, **row}
        for (sampler, count, name), row in cells.items()
    ]


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="mnist", show_default=True, help="File, run or name.")
@click.option("--sampler", "samplers", multiple=True, type=click.Choice(list(SAMPLERS)))
@click.option("--calls", type=click.IntRange(min=1), multiple=True, default=CALLS)
@click.option("--distance-images", type=click.IntRange(min=1), default=128, show_default=True)
@click.option("--reference-levels", type=click.IntRange(min=2), default=200, show_default=True)
@click.option(
    "-n",
    "--images",
    type=click.IntRange(min=0),
    default=2048,
    show_default=True,
    help="Of the Frechet distance; 0: it is not measured.",
)
@click.option(
    "--beside",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Spacings whose Frechet distance is measured, those nearest to the ODE.",
)
@measuring()
def main(
    model: str,
    samplers: tuple[str, ...],
    calls: tuple[int, ...],
    distance_images: int,
    reference_levels: int,
    images: int,
    beside: int,
    job: Job,
) -> None:
    """Print how far from the ODE walks along fitted levels and along every spacing end.

    The images are those of the seeds 0 and up; a fit is made on others. Of fitted levels and of
    the spacings that are nearest the Frechet distance stands beside it.
    """
    subject = load(model, job)
    apart = Distances(subject, distance_images, reference_levels)
    asked = (samplers or tuple(SAMPLERS), calls, images, apart, distance_images, beside)
    cells = measured(subject, model, Record(job.output), *asked)
    job.show(as_json(cells), lambda: report(cells))


if __name__ == "__main__":
    main()
