"""Quality, variety and seconds of digits at few network calls: solvers, fitted levels, students.

Each row is a `ddpm eval --sweep` of its own, whose table is kept, so a stopped run goes on.
"""

import csv
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from cells import markdown, say
from command_line import show

from ddpm_cli import cli

CALLS = (1, 2, 4, 8, 16, 50)
FIXED = ("--set", "sampler.eta=0.0")


class Subject(NamedTuple):
    """A row of the table: a model, how it is walked, and at how many calls."""

    name: str
    model: str
    words: tuple[str, ...]
    calls: tuple[int, ...] = CALLS


def solvers(model: str, fitted: Sequence[int]) -> Iterator[Subject]:
    """What any model can do without training: solvers, on the spacing that suits each best."""
    levels = {
        "ddim": ("trailing", FIXED),
        "dpm++2m": ("logsnr", ("--set", "levels.low=0.02", "--set", "levels.high=80")),
        "unipc": ("logsnr", ("--set", "levels.low=0.02", "--set", "levels.high=80")),
    }
    for sampler, (spacing, knobs) in levels.items():
        words = ("--sampler", sampler, "--set", f"levels.name={spacing}", *knobs)
        yield Subject(sampler, model, words, tuple(n for n in CALLS if n > 1 or sampler == "ddim"))
    for sampler in ("ddim", "dpm++2m") if fitted else ():
        words = ("--sampler", sampler, "--set", "levels.name=fitted")
        knobs = FIXED if sampler == "ddim" else ()
        yield Subject(f"{sampler}, fitted levels", model, (*words, *knobs), tuple(fitted))


def students(folder: str) -> Iterator[Subject]:
    """The stages of a distillation, each at the calls that it was trained for."""
    stages = sorted(Path(folder).glob("stage-*"), key=lambda path: -int(path.name[6:]))
    for path in stages:
        yield Subject("distilled", str(path), (), (int(path.name[6:]),))
    last = int(stages[-1].name[6:]) // 2 if stages else 1
    yield Subject("distilled", folder, (), (last,))


def measured(subject: Subject, images: int, place: Path, more: Sequence[str]) -> list[Any]:
    """The rows of a subject's sweep."""
    calls = ",".join(map(str, subject.calls))
    name = f"{subject.name} {Path(subject.model).name}".replace(" ", "-").replace(",", "")
    path = place / f"{name}-{images}.csv"
    say(f"{subject.name}: {subject.model} at {calls} calls")
    words = ("eval", subject.model, "--ref", "mnist:test", "--protocol", "digits", "-n", images)
    asked = (*words, *subject.words, "--sweep", f"steps={calls}", "-o", path, *more)
    code = cli.main([str(word) for word in asked])
    if code not in (0, 3):
        sys.exit(code)
    with path.open(encoding="utf-8", newline="") as file:
        return [{"row": subject.name, **row} for row in csv.DictReader(file)]


def report(rows: Sequence[dict[str, str]]) -> str:
    """The Frechet distance by calls, a row a way; below it recall, and seconds an image."""
    parts = []
    for key, form in (("fid", "{:.1f}"), ("recall", "{:.2f}"), ("seconds_per_image", "{:.3f}")):
        table: dict[str, dict[int, str]] = {}
        for row in rows:
            cell = form.format(float(row[key])) if row.get(key) else "-"
            table.setdefault(row["row"], {})[int(row["steps"])] = cell
        counts = sorted({count for cells in table.values() for count in cells})
        lines = [[name, *(cells.get(n, "") for n in counts)] for name, cells in table.items()]
        parts.append(f"{key}:\n\n{markdown(['', *(f'{n} calls' for n in counts)], lines)}")
    return "\n\n".join(parts)


@click.command(context_settings={"max_content_width": 99})
@click.argument("place", type=click.Path(file_okay=False, path_type=Path))
@click.option("-m", "--model", default="mnist", show_default=True, help="Walked by solvers.")
@click.option("-n", "--images", type=click.IntRange(min=20), default=2048, show_default=True)
@click.option("--fitted", multiple=True, type=int, help="Calls that levels were fitted for.")
@click.option("--distilled", help="Folder of a distillation.")
@click.option("--consistency", help="A run of preset mnist-consistency.")
@click.option("--ddgan", help="A run of preset mnist-ddgan.")
@click.option("--flow", help="A run of preset mnist-flow.")
@click.option("--set", "assignments", multiple=True, help="As of ddpm eval.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def main(
    place: Path,
    model: str,
    images: int,
    fitted: tuple[int, ...],
    distilled: str | None,
    consistency: str | None,
    ddgan: str | None,
    flow: str | None,
    assignments: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure ways to few calls on digits and print a table; sweeps are kept in PLACE."""
    place.mkdir(parents=True, exist_ok=True)
    subjects = [*solvers(model, fitted)]
    if distilled:
        subjects += students(distilled)
    if consistency:
        subjects.append(Subject("consistency", consistency, (), (1, 2, 4, 8)))
    if ddgan:
        subjects.append(Subject("ddgan", ddgan, (), (4,)))
    if flow:
        words = ("--sampler", "dpm++2m", "--set", "levels.name=logsnr")
        ends = ("--set", "levels.low=0.02", "--set", "levels.high=80")
        subjects.append(Subject("flow, dpm++2m", flow, (*words, *ends), CALLS[1:]))
    more = [word for one in assignments for word in ("--set", one)]
    rows = [row for one in subjects for row in measured(one, images, place, more)]
    show(rows, lambda: report(rows), as_json)


if __name__ == "__main__":
    main()
