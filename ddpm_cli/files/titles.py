"""What is known of the columns of a table: names, integers, the words of categories, scores."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from ddpm_cli.settings.knobs import Encode

WORD_LIMIT = 10000  # categories of a column
# How programs write that there is no value, and of these what may be a category.
GAPS = ("", "na", "n/a", "nan", "null", "none", "-", "?")
WORDS = ("none", "-")


class Scores(NamedTuple):
    """A rising line of straight parts from the values of a column to normal scores.

    It goes through the points (values[i], scores[i]), and beyond the outermost two on as it is
    between them. low, high: what no value comes back beyond, if anything.
    """

    values: tuple[float, ...]
    scores: tuple[float, ...]
    low: float | None = None
    high: float | None = None


class Titles(NamedTuple):
    """What the columns of a table are called, if anything, and what they hold.

    whole: which hold integers alone; label: the name of the column that holds the class; place:
    before which of the others it stands in the file, None behind all.
    categories: the words of each column, none where it holds numbers; encode: how a network sees
    them; scores: of each column, None where a network sees the numbers themselves. Both are empty
    where no column has any.
    """

    columns: tuple[str, ...] | None
    whole: tuple[bool, ...]
    label: str | None = None
    categories: tuple[tuple[str, ...], ...] = ()
    encode: Encode = "onehot"
    scores: tuple[Scores | None, ...] = ()
    place: int | None = None

    @property
    def is_typed(self) -> bool:
        """Whether a network sees something else than the numbers of the columns."""
        return bool(self.categories or self.scores)

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns are called, or else x1, x2, ..."""
        return self.columns or tuple(f"x{number + 1}" for number in range(len(self.whole)))

    @property
    def widths(self) -> list[int]:
        """How many values of a row of a network stand for each column."""
        words = self.categories or ((),) * len(self.whole)
        return [width(len(each), self.encode) if each else 1 for each in words]

    def words(self, column: int) -> tuple[str, ...]:
        """The categories of a column, in the order of their numbers."""
        return self.categories[column] if self.categories else ()

    def scored(self, column: int) -> Scores | None:
        """The scores of a column, if it has some."""
        return self.scores[column] if self.scores else None

    def facts(self) -> dict[str, Any]:
        """What there is to say of named columns: which are of which type, and their words."""
        known = [*enumerate(self.names)]
        facts = {
            "columns": [*self.names],
            "integers": [name for at, name in known if self.whole[at]],
            "normal_scores": [name for at, name in known if self.scored(at)],
            "categories": {name: [*self.words(at)] for at, name in known if self.words(at)},
        }
        return {key: value for key, value in facts.items() if value} if self.columns else {}

    def fields(self) -> dict[str, Any]:
        """What JSON holds of it: as before there were types, if there are none."""
        plain = {"columns": self.columns, "whole": self.whole, "label": self.label}
        typed: dict[str, Any] = {}
        if self.categories:
            typed = {"categories": self.categories, "encode": self.encode}
        if self.scores:
            typed["scores"] = [scores and scores._asdict() for scores in self.scores]
        if self.place is not None:
            typed["place"] = self.place
        return plain | typed


def width(count: int, encode: Encode) -> int:
    """How many values stand for one of `count` categories."""
    return count if encode == "onehot" else max(1, (count - 1).bit_length())


def of_json(data: Mapping[str, Any]) -> Titles | None:
    """What a header says of the columns of a table, whose types make up the values of a row."""
    entries = data.get("titles")
    if entries is None:
        return None
    names, label, encode = entries["columns"], entries["label"], entries.get("encode", "onehot")
    columns = tuple(map(str, names)) if names is not None else None
    whole = tuple(map(bool, entries["whole"]))
    words = tuple(_words(each) for each in entries.get("categories", ()))
    scores = tuple(_scores(each) for each in entries.get("scores", ()))
    lists: list[Sequence[Any] | None] = [columns, words or None, scores or None]
    if any(len(each) != len(whole) for each in lists if each is not None):
        raise ValueError("titles: not as many as columns")
    if encode not in ("onehot", "bits"):
        raise ValueError("titles: unknown encoding")
    place = entries.get("place")
    if place is not None and not (isinstance(place, int) and 0 <= place < len(whole)):
        raise ValueError("titles: no place of the class")
    about = (None if label is None else str(label), words, encode, scores, place)
    known = Titles(columns, whole, *about)
    if sum(known.widths) != data["shape"][0]:
        raise ValueError("titles: not as many as values")
    return known


def _words(entries: Sequence[Any]) -> tuple[str, ...]:
    """The categories of a column, each another."""
    words = tuple(map(str, entries))
    if len(words) > WORD_LIMIT or len({*words}) != len(words):
        raise ValueError("titles: categories")
    return words


def _scores(entries: Mapping[str, Any] | None) -> Scores | None:
    """The scores of a column; they rise with the values."""
    if entries is None:
        return None
    values, scores = (tuple(map(float, entries[key])) for key in ("values", "scores"))
    low, high = (None if entries[key] is None else float(entries[key]) for key in ("low", "high"))
    rise = all(a < b for line in (values, scores) for a, b in pairwise(line))
    ends = [end for end in (low, high) if end is not None]
    finite = all(map(math.isfinite, (*values, *scores, *ends)))
    if not (len(values) == len(scores) >= 2 and rise and finite):
        raise ValueError("titles: scores")
    return Scores(values, scores, low, high)


def is_number(cell: str) -> bool:
    """Whether a cell of a table, or the name of a class, is a finite number as people write it."""
    try:
        return "_" not in cell and math.isfinite(float(cell))  # Python alone reads 1_000
    except ValueError:
        return False


def is_gap(cell: str, *, of_words: bool = False) -> bool:
    """Whether a cell says that there is no value, in a column of numbers or of words."""
    gap = cell.strip().lower()
    return gap in GAPS and not (of_words and gap in WORDS)
