"""Table 1 of the DDIM paper on digits, and other samplers on the same axis of network calls.

Every cell is kept in a record as soon as it is measured, so a stopped run goes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import solver_axis
from cells import Record, Row, Subject, load, markdown, number, say, scored
from command_line import Job, measuring
from scoring import Scorer

ROWS: dict[str, dict[str, Any]] = {
    "eta 0": {"eta": 0.0},
    "eta 0.2": {"eta": 0.2},
    "eta 0.5": {"eta": 0.5},
    "eta 1": {"eta": 1.0},
    "sigma-hat": {"variance": "hat"},
}
STEPS = (5, 10, 20, 50, 100)
ALL_STEPS = 1000
FEW = 20  # steps up to which the paper speaks of short trajectories
VANISHED = 0.1  # the share of the first column's spread that counts as no difference

Grid = Mapping[str, Mapping[int, float]]  # row -> steps -> Frechet distance


class Conclusion(NamedTuple):
    """A statement of the paper, whether the figures bear it out, and the figures."""

    text: str
    holds: bool
    figures: str

    def line(self) -> str:
        """One line of a Markdown list."""
        return f"* {'holds' if self.holds else 'does not hold'}: {self.text} ({self.figures})"


def conclusions(grid: Grid) -> list[Conclusion]:
    """What the DDIM paper concludes from its table 1, judged by a table of the same shape."""
    steps = sorted(next(iter(grid.values())))
    few = [n for n in steps if n <= FEW]
    short = [n for n in steps if n < ALL_STEPS]
    columns = {n: {name: row[n] for name, row in grid.items()} for n in steps}
    best = {n: min(columns[n], key=columns[n].__getitem__) for n in few}
    worst = {n: max(columns[n], key=columns[n].__getitem__) for n in short}
    spread = {n: max(columns[n].values()) - min(columns[n].values()) for n in steps}
    return [
        Conclusion(
            "eta 0 is best at few steps", {*best.values()} == {"eta 0"}, _listed("best", best)
        ),
        Conclusion(
            "sigma-hat is worst", {*worst.values()} == {"sigma-hat"}, _listed("worst", worst)
        ),
        Conclusion(
            "the differences vanish with many steps",
            spread[steps[-1]] <= VANISHED * spread[steps[0]],
            _listed("largest less smallest", {n: number(spread[n]) for n in steps}),
        ),
    ]


def _listed(what: str, values: Mapping[int, str]) -> str:
    return f"{what}: " + ", ".join(f"{n} steps {value}" for n, value in values.items())


def table(
    subject: Subject,
    scorer: Scorer,
    record: Record,
    levels: str,
    steps: Sequence[int],
    images: int,
) -> dict[str, dict[int, Row]]:
    """Measure every cell that the record lacks: row -> steps -> scores."""
    rows: dict[str, dict[int, Row]] = {name: {} for name in ROWS}
    for count in steps:
        for name, knobs in ROWS.items():
            tables = {
                "sampler": {"name": "ddim", **knobs},
                "levels": {"name": levels, "count": count},
            }
            config = subject.config(tables)
            row = record(subject.key(config, images), scored, subject, scorer, config, images)
            rows[name][count] = row
            say(f"{name}, {count} steps: {row['frechet']:.2f}")
    return rows


def cell(row: Row) -> str:
    """Frechet distance and class agreement."""
    agreement = row.get("agreement")
    return number(row["frechet"]) + ("" if agreement is None else f" ({agreement:.1%})")


def report(rows: Mapping[str, Mapping[int, Row]]) -> str:
    """The table, and below it the paper's conclusions."""
    steps = sorted(next(iter(rows.values())))
    lines = [[name, *(cell(row[n]) for n in steps)] for name, row in rows.items()]
    return "\n\n".join(
        [
            markdown(["", *(f"{n} steps" for n in steps)], lines),
            "\n".join(one.line() for one in conclusions(_distances(rows))),
        ]
    )


def _distances(rows: Mapping[str, Mapping[int, Row]]) -> Grid:
    return {name: {n: row[n]["frechet"] for n in row} for name, row in rows.items()}


def _as_json(rows: Mapping[str, Mapping[int, Row]]) -> list[Row]:
    cells = [{"row": name, "steps": n, **row[n]} for name, row in rows.items() for n in row]
    return cells + [one._asdict() for one in conclusions(_distances(rows))]


@click.command(context_settings={"max_content_width": 99})
@click.option("-m", "--model", default="mnist", show_default=True, help="File, run or name.")
@click.option("-n", "--images", type=click.IntRange(min=2), default=2048, show_default=True)
@click.option(
    "--levels", default="trailing", show_default=True, help="Spacing of the steps of the table."
)
@click.option("--steps", type=click.IntRange(min=1), multiple=True, default=STEPS)
@click.option("--full", is_flag=True, help=f"A column of {ALL_STEPS} steps, too.")
@click.option(
    "--sampler",
    "samplers",
    multiple=True,
    type=click.Choice(list(solver_axis.SOLVERS)),
    help="Instead of the table: these samplers at equal network calls.",
)
@click.option(
    "--spacing",
    "spacings",
    multiple=True,
    type=click.Choice(solver_axis.SPACINGS),
    default=solver_axis.SPACINGS,
    help="Of the levels, with --sampler.",
)
@click.option("--calls", type=click.IntRange(min=2), multiple=True, default=solver_axis.CALLS)
@click.option("--start", type=float, default=80.0, show_default=True, help="First level of all.")
@click.option("--last", type=float, default=0.02, show_default=True, help="Last level of all.")
@click.option("--reference-calls", type=click.IntRange(min=2), default=400, show_default=True)
@click.option("--distance-images", type=click.IntRange(min=1), default=256, show_default=True)
@click.option(
    "--moments",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For analytic-ddim: what ddpm fit wrote, unless it lies beside the model.",
)
@measuring()
def main(
    model: str,
    images: int,
    levels: str,
    steps: tuple[int, ...],
    full: bool,
    samplers: tuple[str, ...],
    spacings: tuple[str, ...],
    calls: tuple[int, ...],
    start: float,
    last: float,
    reference_calls: int,
    distance_images: int,
    moments: Path | None,
    job: Job,
) -> None:
    """Print Frechet distance and class agreement of DDIM's variances against its steps.

    With --sampler: of samplers against network calls, all from the same noise at the same first
    level; of deterministic ones also the distance to the converged probability-flow ODE.
    """
    subject = load(model, job)
    scorer, record = Scorer(), Record(job.output)
    if samplers:
        axis = solver_axis.Axis(start, last, reference_calls, min(distance_images, images))
        chosen = solver_axis.subjects(subject, model, samplers, moments)
        cells = solver_axis.measure(chosen, scorer, record, axis, calls, images, spacings)
        rows, text = solver_axis.as_json(cells), solver_axis.report(cells, axis)
    else:
        wanted = sorted({*steps, *([ALL_STEPS] if full else [])})
        measured = table(subject, scorer, record, levels, wanted, images)
        rows, text = _as_json(measured), f"Levels: {levels}.\n\n{report(measured)}"
    job.show(rows, lambda: f"{text}\n\n{scorer.scale(images)}")


if __name__ == "__main__":
    main()
