"""Columns of a table: which are values and which is the class, and what is said of bad cells."""

import json
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.class_tables import is_number
from ddpm_cli.errors import ConfigError, Refusal, nearest

SHOWN = 40  # letters of a cell in a message
# How programs write that there is no value.
GAPS = ("", "na", "n/a", "nan", "null", "none", "-", "?")

Row = tuple[int, list[str]]  # the number of its line, and its cells


class Wish(NamedTuple):
    """What is asked for of columns, each by its name or its number from 1.

    label: the one that holds the class; columns: those that are values, in that order; skip:
    those that are left out.
    """

    label: str = ""
    columns: Sequence[str] = ()
    skip: Sequence[str] = ()


class Columns(NamedTuple):
    """The positions of the columns that are values, in their order, and of the class.

    names: of all columns in the file, None if it names none.
    """

    values: list[int]
    label: int | None
    names: list[str] | None
    wish: Wish

    @property
    def value_names(self) -> tuple[str, ...] | None:
        """The names of the columns that are values."""
        return tuple(self.names[at] for at in self.values) if self.names else None

    @property
    def label_name(self) -> str | None:
        """The name of the column that holds the class."""
        return None if self.names is None or self.label is None else self.names[self.label]

    def called(self, at: int) -> str:
        """A column in a message."""
        name = self.names[at] if self.names else ""
        return f"column {at + 1} ({name})" if name else f"column {at + 1}"

    def without(self, dropped: Iterable[int]) -> str:
        """The setting that leaves these columns out, too, as a shell takes it."""
        gone = sorted(dropped)
        if self.wish.columns:
            kept = [self._address(at) for at in self.values if at not in gone]
            return _setting("data.columns", kept)
        return _setting("data.skip", [*self.wish.skip, *map(self._address, gone)])

    def _address(self, at: int) -> str:
        """What names a column and no other."""
        name = str(at + 1) if self.names is None else self.names[at]
        return name if self.names is None or self.names.count(name) == 1 else str(at + 1)


def chosen(wish: Wish, names: list[str] | None, count: int, place: Path) -> Columns:
    """The columns of a file that a wish comes to; what it does not have is refused.

    names: those of its `count` columns, None if it names none.
    """
    if wish.columns and wish.skip:
        raise ConfigError("data.skip: data.columns says already which columns; give one of them")
    label = None
    if wish.label:
        if count < 2:
            raise ConfigError(f"data.label: {place} has one column, none to spare; leave it out")
        label = _position("label", wish.label, names, count, place)
    listed = [_position("columns", word, names, count, place) for word in wish.columns]
    skipped = {_position("skip", word, names, count, place) for word in wish.skip}
    if twice := [wish.columns[n] for n, at in enumerate(listed) if at in listed[:n]]:
        raise ConfigError(f"data.columns: {twice[0]!r} is named twice; name it once")
    if label in skipped:
        raise ConfigError(f"data.skip: {wish.label!r} is data.label; leave one of the two out")
    values = [at for at in listed or range(count) if at not in skipped and at != label]
    if not values:
        key = "columns" if wish.columns else "skip"
        raise ConfigError(f"data.{key}: no column of {place} is left to learn; keep one")
    return Columns(values, label, names, wish)


def _position(key: str, word: str, names: list[str] | None, count: int, place: Path) -> int:
    """The position of a column that is given by its name or its number from 1."""
    numbers = [str(number + 1) for number in range(count)]
    named = names or []
    if named.count(word) > 1:
        same = " and ".join(str(n + 1) for n, name in enumerate(named) if name == word)
        raise ConfigError(f"data.{key}: columns {same} are named {word!r}; give its number")
    if word in named:
        return named.index(word)
    if word in numbers:
        return int(word) - 1
    fix = nearest(word, [name for name in named if name] or numbers)
    if names is None and place.suffix.lower() == ".csv":
        fix += "; if the first line names the columns, add --set data.header=yes"
    raise ConfigError(f"data.{key}: no column is named {word!r}; {fix}")


def bad_cell(place: object, columns: Columns, row: Row, rest: Iterable[Row]) -> Refusal:
    """The refusal of a row with words or gaps among its values, with the ways out.

    rest: the rows that follow, as other columns may have faults, too.
    """
    words, gaps = dict[int, list[int]](), dict[int, list[int]]()
    for line, cells in (row, *rest):
        for at in columns.values:
            cell = cells[at].strip() if at < len(cells) else ""
            if not is_number(cell):
                faults = gaps if cell.lower() in GAPS else words
                faults.setdefault(at, []).append(line)
    line, cells = row
    first = next(at for at in columns.values if not is_number(cells[at]))
    cell = cells[first].strip()
    shown = repr(cell[:SHOWN]) if cell else "an empty cell"
    what = f"{place}: line {line}, {columns.called(first)}: {shown} is no number"
    if columns.names is None and words.get(first) == [line]:
        return Refusal(what, "if it names the column, add --set data.header=yes")
    faulty = words.keys() | gaps.keys()
    out = f"leave out what is not to be learned: {columns.without(faulty)}"
    if len(faulty) == len(columns.values):
        out = "every column has such cells; write numbers into those to be learned"
    return Refusal(what, *_ways(columns, words, gaps), out)


def _ways(columns: Columns, words: dict[int, list[int]], gaps: dict[int, list[int]]) -> list[str]:
    """What to do about columns of words and about gaps, given their lines, in one line."""
    ways = []
    if words and columns.label is None and len(columns.values) > 1:
        name = columns._address(min(words))
        ways.append(f"words can be the class: --set {shlex.quote(f'data.label={name}')}")
    elif words:
        ways.append("write numbers for words")
    if gaps:
        lines = sorted({line for found in gaps.values() for line in found})
        where = ", ".join(columns.called(at) for at in sorted(gaps))
        ways.append(f"{where}: fill the gaps, or drop the {len(lines)} rows that have some")
    return ["; ".join(ways)]


def index_like(columns: Columns, values: Tensor) -> list[int]:
    """The columns that count the rows, by position: they would be learned as if they meant much.

    values: [N, D]; a column without a name that only rises, or any that rises by one from 0 or 1,
    beside others.
    """
    if len(values) < 3:
        return []
    steps = values.diff(dim=0)
    is_whole = (values == values.round()).all(0)
    counts = is_whole & (steps == 1).all(0) & ((values[0] == 0) | (values[0] == 1))
    rises = is_whole & (steps > 0).all(0)
    nameless = torch.tensor([name == "" for name in columns.value_names or ["-"]])
    found: list[int] = (counts | (rises & nameless)).nonzero().flatten().tolist()
    return [columns.values[n] for n in found] if len(found) < len(columns.values) else []


def _setting(key: str, words: Sequence[str]) -> str:
    """A --set of a list of words, as a shell takes it."""
    return f"--set {shlex.quote(f'{key}={json.dumps(list(words), ensure_ascii=False)}')}"
