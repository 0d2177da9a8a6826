"""Rows of text as the values of a table, and values as rows of text."""

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.errors import Refusal, many, nearest
from ddpm_cli.files.titles import Titles, is_gap, is_number

SHOWN = 40  # letters of a cell in a message
Rows = Sequence[Sequence[str]]


def values_of(rows: Rows, titles: Titles, place: object = "table") -> Tensor:
    """Values float64 [B, C] of rows of text, in the order of the columns; NaN for a gap.

    A first row that names the columns puts them in order, and others are left out. What is no
    number, or a word that is no category of the column, is refused.
    """
    order = arranged(rows, titles, place)
    begin = 0 if order is None else 1
    places = [*range(len(titles.whole))] if order is None else order
    called = [f"{place}: row {number}" for number in range(len(rows) - begin)]
    for where, row in zip(called, rows[begin:], strict=True):
        if len(row) <= max(places):
            fix = "every row needs a cell for each column"
            raise Refusal(f"{where}: {many(len(row), 'cells')}, expected {max(places) + 1}", fix)
    return read([[row[at] for at in places] for row in rows[begin:]], titles, called)


def read(rows: Rows, titles: Titles, called: Sequence[str]) -> Tensor:
    """Values float64 [B, C] of rows of a cell for each column; called: what messages call each."""
    readers = [_Reader.of(titles, column) for column in range(len(titles.whole))]
    values = [
        [reader.value(cell.strip(), where) for reader, cell in zip(readers, row, strict=True)]
        for where, row in zip(called, rows, strict=True)
    ]
    return torch.tensor(values, dtype=torch.float64).reshape(-1, len(readers))


def arranged(rows: Rows, titles: Titles, place: object = "table") -> list[int] | None:
    """Where in each row the columns stand, by the names in the first; None if it has no names."""
    names, head = [*titles.names], [cell.strip() for cell in rows[0]] if rows else []
    if head == names:
        return [*range(len(names))]
    if not {*names} & {*head} or all(map(is_number, head)):
        return None
    if missing := [name for name in names if name not in head]:
        masks = " ".join(f"--mask {shlex.quote(name)}" for name in missing)
        fix = f"ddpm inpaint, with {masks}, draws what the file does not have"
        raise Refusal(f"{place}: no column is named {missing[0]!r}", fix)
    if twice := [name for name in names if head.count(name) > 1]:
        raise Refusal(f"{place}: two columns are named {twice[0]!r}", "leave one of them out")
    return [head.index(name) for name in names]


def texts(values: Tensor, titles: Titles) -> list[list[str]]:
    """Values [B, C] as rows of text below their names: see `written`."""
    return [[*titles.names], *(written(row, titles) for row in values.cpu().float().numpy())]


def written(values: Any, titles: Titles) -> list[str]:
    """The cells of a row of values float32 [C]: nothing for NaN, words for categories.

    Integers are written as such, other numbers with as many digits as bring back the float32.
    """
    cells = [*map(str, values)]
    for column, is_whole in enumerate(titles.whole):
        value = values[column]
        if np.isnan(value):
            cells[column] = ""
        elif words := titles.words(column):
            cells[column] = words[int(value)]
        elif is_whole:
            cells[column] = str(int(value))
    return cells


class _Reader(NamedTuple):
    """Reads the cells of a column, of which `numbers` are the categories, if it has any."""

    name: str
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, titles: Titles, column: int) -> "_Reader":
        """The reader of a column."""
        words = titles.words(column)
        return cls(titles.names[column], {word: number for number, word in enumerate(words)})

    def value(self, cell: str, where: str) -> float:
        """The number in a cell, or that of its category."""
        if cell in self.numbers:
            return self.numbers[cell]
        if is_gap(cell):
            return math.nan
        if not is_number(cell):
            raise self._refusal(cell, where)
        if not self.numbers:
            return float(cell)
        for word, number in self.numbers.items():
            if is_number(word) and float(word) == float(cell):  # 3 where others write 3.0
                return number
        raise self._refusal(cell, where)

    def _refusal(self, cell: str, where: str) -> Refusal:
        """The refusal of a cell, with the nearest category."""
        what = f"{where}, column {self.name}: {cell[:SHOWN]!r} is"
        if not self.numbers:
            return Refusal(f"{what} no number", "write a number, or nothing if it is not known")
        return Refusal(f"{what} no category that was learned", nearest(cell, [*self.numbers]))
