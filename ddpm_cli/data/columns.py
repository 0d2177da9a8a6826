"""Columns of a table: which are values and which is the class, and what is said of bad cells."""

import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.files import row_places
from ddpm_cli.files.titles import WORD_LIMIT, is_gap

SHOWN = 40  # letters of a cell in a message
FEW = 20  # words of a column that may all be categories, however short the table

Row = tuple[int, list[str]]  # the number of its line, and its cells


class Wish(NamedTuple):
    """What is asked for of columns, each by its name or its number from 1.

    label: the one that holds the class; columns: those that are values, in that order; skip:
    those that are left out; values: those that are told and not learned; categories: those that
    hold words, even if these are numbers; quantile: those of which a network sees normal scores.
    """

    label: str = ""
    columns: Sequence[str] = ()
    skip: Sequence[str] = ()
    values: Sequence[str] = ()
    categories: Sequence[str] = ()
    quantile: Sequence[str] = ()


class Columns(NamedTuple):
    """The positions of the columns that are values, in their order, and of the class.

    names: of all columns in the file, None if it names none; asked, quantile: the positions of
    those that shall be categories, and be seen as normal scores.
    """

    values: list[int]
    label: int | None
    names: list[str] | None
    wish: Wish
    asked: frozenset[int] = frozenset()
    quantile: frozenset[int] = frozenset()

    @property
    def value_names(self) -> tuple[str, ...] | None:
        """The names of the columns that are values."""
        return tuple(self.names[at] for at in self.values) if self.names else None

    @property
    def label_name(self) -> str | None:
        """The name of the column that holds the class."""
        return None if self.names is None or self.label is None else self.names[self.label]

    @property
    def label_place(self) -> int | None:
        """Before which of the values the class stands, if these are in the order of the file."""
        if self.label is None or self.values != sorted(self.values):
            return None
        before = sum(at < self.label for at in self.values)
        return before if before < len(self.values) else None

    def called(self, at: int) -> str:
        """A column in a message."""
        name = self.names[at] if self.names else ""
        return f"column {at + 1} ({name})" if name else f"column {at + 1}"

    def without(self, dropped: Iterable[int]) -> str:
        """The setting that leaves these columns out, too, as a shell takes it."""
        gone = sorted(dropped)
        if self.wish.columns:
            kept = [self.address(at) for at in self.values if at not in gone]
            return _setting("data.columns", kept)
        return _setting("data.skip", [*self.wish.skip, *map(self.address, gone)])

    def address(self, at: int) -> str:
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
    told = {_position("values", word, names, count, place) for word in wish.values}
    if twice := [wish.columns[n] for n, at in enumerate(listed) if at in listed[:n]]:
        raise ConfigError(f"data.columns: {twice[0]!r} is named twice; name it once")
    if label in skipped:
        raise ConfigError(f"data.skip: {wish.label!r} is data.label; leave one of the two out")
    values = [at for at in listed or range(count) if at not in skipped | told | {label}]
    if not values:
        key = "columns" if wish.columns else "values" if wish.values else "skip"
        raise ConfigError(f"data.{key}: no column of {place} is left to learn; keep one")
    asked, quantile = (
        frozenset(_learned(key, words, values, names, count, place))
        for key, words in (("categories", wish.categories), ("quantile", wish.quantile))
    )
    if asked & quantile:
        word = min(
            set(wish.categories) & set(wish.quantile), default=str(min(asked & quantile) + 1)
        )
        raise ConfigError(f"data.quantile: {word!r} holds categories; leave one of the two out")
    return Columns(values, label, names, wish, asked, quantile)


def _learned(
    key: str,
    words: Sequence[str],
    values: list[int],
    names: list[str] | None,
    count: int,
    place: Path,
) -> Iterator[int]:
    """The positions of columns that a setting names, each of which must be among the values."""
    for word in words:
        at = _position(key, word, names, count, place)
        if at not in values:
            raise ConfigError(f"data.{key}: {word!r} is not among the values; leave it out")
        yield at


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
    if names is None and row_places.is_text(place):
        fix += "; if the first line names the columns, add --set data.header=yes"
    raise ConfigError(f"data.{key}: no column is named {word!r}; {fix}")


class Fault(NamedTuple):
    """The first cell of a column that is no number, and the lines of all that are none."""

    cell: str
    lines: list[int]


class Faults:
    """What cells are no numbers, by their columns: words, and gaps."""

    def __init__(self) -> None:
        self.words, self.gaps = dict[int, Fault](), dict[int, Fault]()
        self._of_words: frozenset[int] = frozenset()

    def forget(self, of_words: Iterable[int]) -> None:
        """Begin anew with the columns that turned out to be of words."""
        self._of_words = frozenset(of_words)
        for at in self._of_words:
            self.words.pop(at, None)
            self.gaps.pop(at, None)

    def add(self, at: int, line: int, cell: str) -> None:
        """Count a cell of a column that is no number, or of words the gap that it is."""
        faults = self.gaps if is_gap(cell, of_words=at in self._of_words) else self.words
        faults.setdefault(at, Fault(cell.strip(), [])).lines.append(line)

    def refusal(self, place: object, columns: Columns, lines: int) -> Refusal:
        """The refusal of a table for them, with the ways out; lines: of the rows of values."""
        every = [*self.words.items(), *self.gaps.items()]
        first, (cell, found) = min(every, key=lambda item: (item[1].lines[0], item[0]))
        shown = repr(cell[:SHOWN]) if cell else "an empty cell"
        kind = "word" if first in self._of_words else "number"
        where = f"{row_places.called(place, found[0])}, {columns.called(first)}"
        what = f"{where}: {shown} is no {kind}"
        if columns.names is None and first in self.words and len(found) == 1 and found[0] == 1:
            return Refusal(what, "if it names the column, add --set data.header=yes")
        faulty = self.words.keys() | self.gaps.keys()
        out = f"leave out what is not to be learned: {columns.without(faulty)}"
        if len(faulty) == len(columns.values):
            out = "every column has such cells; write numbers into those to be learned"
        return Refusal(what, self._ways(columns, lines), out)

    def _ways(self, columns: Columns, lines: int) -> str:
        """What to do about words among numbers and about gaps, in one line."""
        ways = []
        if self.words:
            named = _setting(
                "data.categories", [*columns.wish.categories, *map(columns.address, self.words)]
            )
            label = shlex.quote(f"data.label={columns.address(min(self.words))}")
            is_free = columns.label is None and len(columns.values) > 1
            first = f"words can be the class: --set {label}; or " if is_free else "words can be "
            ways.append(f"{first}categories: {named}")
        if self.gaps:
            rows = {line for fault in self.gaps.values() for line in fault.lines}
            where = ", ".join(columns.called(at) for at in sorted(self.gaps))
            drop = f", or drop {_rows(len(rows))}" if len(rows) < lines else ""
            ways.append(f"{where}: fill the gaps{drop}, or --set data.missing=fill or mask")
        return "; ".join(ways)


def is_of_words(columns: Columns, at: int, faults: Faults, lines: int) -> bool:
    """Whether a column of a table holds words, not numbers with some mistake among them.

    More than half of its cells must be words, but for gaps; of a table without names the first
    line may hold names.
    """
    if at not in faults.words:
        return at in columns.asked
    words, gaps = faults.words[at].lines, faults.gaps[at].lines if at in faults.gaps else ()
    is_named = columns.names is None and words == [1]
    return not is_named and 2 * len(words) > lines - len(gaps)


def refuse_crowded(place: object, columns: Columns, at: int, words: int, lines: int) -> None:
    """Refuse a column with more words than can be learned, as a column of names has.

    Nobody asked for them as categories: then they may be no more than half of the lines.
    """
    is_usual = words <= FEW or at in columns.asked or 2 * words <= lines
    if words <= WORD_LIMIT and is_usual:
        return
    what = f"{place}: {columns.called(at)}: {words} different words on {lines} lines"
    raise Refusal(what, f"too many to learn; leave it out: {columns.without([at])}")


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


def _rows(count: int) -> str:
    return "the row that has some" if count == 1 else f"the {count} rows that have some"


def _setting(key: str, words: Sequence[str]) -> str:
    """A --set of a list of words, as a shell takes it."""
    return f"--set {shlex.quote(f'{key}={json.dumps(list(words), ensure_ascii=False)}')}"
