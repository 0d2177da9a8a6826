"""The table of a sweep: its rows, those that are there already, and what they must agree in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm_cli.errors import Refusal
from ddpm_cli.files.outputs import tables
from ddpm_cli.files.outputs.tables import Value
from ddpm_cli.settings import sweeps
from ddpm_cli.settings.sweeps import Axis, Cell

Row = dict[str, Value]
# What all rows of a table have in common, unless it is swept.
COMMON = ("model", "model_hash", "protocol", "features", "reference", "n", "class", "settings")
# What may differ from cell to cell, and is known before it is measured.
OWN = ("seeds", "dtype")
COST = ("network_calls", "seconds_per_image")
REST = (*COST, "n", "seeds", "class", "dtype", "device", "model", "model_hash", "protocol",
        "features", "reference", "settings", "ddpm", "torch", "reason")  # fmt: skip
TEXTS = {*REST} - {*COST, "n"}
ERROR = "_error"


class Table:
    """Rows by their cells, written after each of them; those of before are kept."""

    def __init__(self, path: Path | None, axes: Sequence[Axis], force: bool) -> None:
        self._path, self._axes = path, axes
        self._rows: dict[tuple[str, ...], Row] = {}
        if path is None or force:
            return
        for row in tables.read(path, TEXTS):
            self._refuse_other_columns(row)
            if row["reason"] is None:  # others are tried anew
                self._rows[self._key(row)] = row

    def kept(self, cell: Cell, own: Mapping[str, Value]) -> Row | None:
        """The row of a cell that was measured before; one that was of other samples is refused."""
        row = self._rows.get(self._key(cell.key))
        if row is None:
            return None
        self._refuse_unlike(row, own)
        return row | cell.key

    def refuse_others(self, common: Mapping[str, Value]) -> None:
        """Refuse to continue a table of another model or protocol."""
        for row in self._rows.values():
            self._refuse_unlike(row, common)

    def add(self, row: Row) -> None:
        """Put a row into the table, and the table into its file."""
        self._rows[self._key(row)] = row
        if self._path is not None:
            rows = self.ordered()
            tables.write(self._path, columns(self._axes, rows), rows)

    def ordered(self) -> list[Row]:
        """All rows, those of the sweep's own cells in their order before all others."""
        keys = [self._key(cell.key) for cell in sweeps.cells(self._axes)]
        first = [self._rows[key] for key in keys if key in self._rows]
        return first + [row for key, row in self._rows.items() if key not in set(keys)]

    def _key(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(sweeps.text(values[axis.key]) for axis in self._axes)

    def _refuse_unlike(self, row: Row, values: Mapping[str, Value]) -> None:
        for name, value in values.items():
            if row.get(name) != value:
                was, now = (tables.text(one) or "none" for one in (row.get(name), value))
                what = f"{self._path}: its {name.replace('_', ' ')} is {was}, this sweep's {now}"
                raise Refusal(what, "choose another -o, or begin anew with --force")

    def _refuse_other_columns(self, row: Row) -> None:
        """Refuse a table that is of no sweep, or of other keys."""
        fix = "choose another -o, or begin anew with --force"
        if missing := [name for name in REST if name not in row]:
            raise Refusal(f"{self._path}: no table of a sweep, it has no {missing[0]}", fix)
        known = {*REST, *figures([row]), *(name + ERROR for name in figures([row]))}
        was, now = [name for name in row if name not in known], [axis.key for axis in self._axes]
        if set(was) != set(now):
            keys = (", ".join(names) for names in (was, now))
            what = f"{self._path}: its keys are {next(keys)}, this sweep's {next(keys)}"
            raise Refusal(what, fix)


def columns(axes: Sequence[Axis], rows: Sequence[Row]) -> list[str]:
    """Keys, figures with their errors, and what they cost and depend on."""
    told = [part for name in figures(rows) for part in (name, name + ERROR)]
    return [*(axis.key for axis in axes), *told, *REST]


def figures(rows: Sequence[Row]) -> list[str]:
    """The names of the figures in rows, in their order."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if name + ERROR in names]


def number(value: float | None) -> float | None:
    """A figure as tables have it."""
    return None if value is None else float(f"{value:.8g}")
