"""What a sweep prints: its cells and their cost before the first, each row, and the table."""

from collections.abc import Mapping, Sequence
from typing import Any

from ddpm_cli import console
from ddpm_cli.files.outputs import tables
from ddpm_cli.pipelines.eval_report import shown
from ddpm_cli.pipelines.sweep_cells import Ready
from ddpm_cli.pipelines.sweep_table import ERROR, Row, columns, figures
from ddpm_cli.settings import sweeps
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.protocols import FEW
from ddpm_cli.settings.sweeps import Axis


class Pace:
    """Says how many cells are left, and how long they take."""

    def __init__(self, cells: Sequence[Ready], left: Sequence[Ready], speed: float) -> None:
        self._count, self._left, self._speed = len(left), len(left), speed
        self._work = sum(one.work for one in left)
        impossible = sum(not one.runs for one in cells)
        kept = len(cells) - impossible - len(left)
        parts = [f"{len(cells)} cells"]
        parts += [f"{kept} there already"] * bool(kept)
        parts += [f"{impossible} impossible"] * bool(impossible)
        calls = f"{self._work:,} network calls to make"
        parts += [f"{calls}, about {console.duration(self._work * speed)}"] * bool(left)
        console.say(", ".join(parts))

    def done(self, one: Ready, axes: Sequence[Axis], row: Row) -> None:
        """Tell a row and the time that is left; what a call took corrects the estimate."""
        self._left -= 1
        self._work -= one.work
        seconds = row.get("seconds_per_image")
        if isinstance(seconds, float) and one.calls:
            self._speed = seconds / one.calls
        said = f"{self._count - self._left}/{self._count} {words(axes, row)}: {_figures(row)}"
        left = f"{console.duration(self._work * self._speed)} left"
        console.say(f"{said}; {left}" if self._left else said)


def words(axes: Sequence[Axis], row: Row) -> str:
    """The cell of a row in one line."""
    return " ".join(f"{axis.key}={sweeps.text(row[axis.key])}" for axis in axes)


def row(request: Eval, values: Row, skipped: bool = False) -> None:
    """Print a row as --json asks for it; skipped: it was in the table before."""
    if request.use.as_json:
        every = {name: values.get(name) for name in columns(request.sweep, [values])}
        console.json_line({**every, "skipped": True} if skipped else every)


def plan(request: Eval, cells: Sequence[Ready], kept: Sequence[Row | None]) -> None:
    """Print the cells, what each costs an image, and what will become of it."""
    rows: list[dict[str, Any]] = []
    for one, known in zip(cells, kept, strict=True):
        count = sum(len(run.seeds) for run in one.runs)
        what = "there already" if known else "to draw" if one.runs else one.reason
        cost = {"network_calls": one.calls, "images": count}
        rows.append({**one.cell.key, **cost, "plan": what})
    if request.use.as_json:
        for values in rows:
            console.json_line(values)
        return
    console.result(_aligned(list(rows[0]), [_plain(values) for values in rows]))


def text(axes: Sequence[Axis], rows: Sequence[Row]) -> str:
    """The table as people read it: figures with their errors, and below what they depend on."""
    told = figures(rows)
    has_reasons = any(values.get("reason") for values in rows)
    names = [axis.key for axis in axes]
    heading = [*names, *told, "network calls", "seconds an image", *["reason"] * has_reasons]
    lines = []
    for values in rows:
        line = {name: sweeps.text(values[name]) for name in names}
        line |= {name: _figure(values, name) for name in told}
        line["network calls"] = tables.text(values.get("network_calls"))
        line["seconds an image"] = tables.text(values.get("seconds_per_image"))
        line["reason"] = tables.text(values.get("reason"))
        lines.append(line)
    return "\n".join([_aligned(heading, lines), *_notes(rows)])


def _notes(rows: Sequence[Row]) -> list[str]:
    measured = [values for values in rows if not values.get("reason")]
    if not measured:
        return []
    one = measured[0]
    lines = ["", f"{one['n']} images a cell against {one['reference']}"]
    lines.append(f"protocol {one['protocol']}, features {one['features']}")
    if isinstance(one["n"], int) and one["n"] < FEW:
        lines.append(f"label: n = {one['n']}, below {FEW}: only to be compared at equal n")
    return lines


def _figures(values: Row) -> str:
    if values.get("reason"):
        return str(values["reason"])
    told = [f"{name} {_figure(values, name)}" for name in figures([values])[:2]]
    return ", ".join([*told, f"{values['seconds_per_image']} s an image"])


def _figure(values: Row, name: str) -> str:
    """A figure with its error."""
    if values.get(name) is None:
        return ""
    return shown({"value": values[name], "error": values.get(name + ERROR)})


def _plain(values: Mapping[str, Any]) -> dict[str, str]:
    return {name: "" if value is None else sweeps.text(value) for name, value in values.items()}


def _aligned(heading: Sequence[str], lines: Sequence[Mapping[str, str]]) -> str:
    """Columns of text, each as wide as its widest cell."""
    every = [list(heading), *([line[name] for name in heading] for line in lines)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in every
    )
