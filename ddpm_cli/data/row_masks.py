"""Which values of given rows are made anew: columns, cells, slices, or files of 0 and 1."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.data import array_files, column_files, given_rows
from ddpm_cli.data.given_rows import Given
from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.files import cells, row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.row_places import SUFFIXES
from ddpm_cli.files.titles import Titles

_SPAN = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9}))?")
_INDEX = re.compile(r"(-?[0-9]{1,9})?(?:(:)(-?[0-9]{1,9})?)?")


def named(places: Sequence[str], info: DataInfo) -> list[str]:
    """The columns that are named whole, which a file may lack."""
    return [word for word in places if info.titles and word in (info.titles.columns or ())]


def refuse_unknown(places: Sequence[str], info: DataInfo) -> None:
    """Refuse places that no rows of a model have, before any file is read."""
    for word in places:
        if not word:
            raise ConfigError("--mask: an empty name; give a column, a slice or a file")
        if len(info.row) == 1 and _cells(word, info, None) is not None:
            continue
        if not _is_file(word):
            _slices(word, info)
        elif not Path(word).is_file():
            raise Refusal(f"{word}: no such file, and no column of the model")


def mask(places: Sequence[str], info: DataInfo, given: Given) -> Tensor:
    """What places say of the rows of a file is made anew, bool [N, ...]; several unite.

    COLUMN, by name, or by number from 1 in the file; COLUMNS as in 2-4, of numbers alone;
    COLUMN:ROWS as in age:1-5,9, of rows by their `numbers`; slices as Python has them, of the last
    axes of a row, as in 24: or 0,24:; a file of 0 and 1. Of rows of one axis two numbers with a
    colon between are a column and a row, and slices are open at an end.
    """
    anew = torch.zeros(len(given.numbers), *info.row, dtype=torch.bool)
    for word in places:
        cells = _cells(word, info, given) if len(info.row) == 1 else None
        if cells is not None:
            rows, columns = cells
            for at in columns:
                anew[rows, at] = True
        elif _is_file(word):
            anew |= _of_file(Path(word), info, given)
        else:
            _refuse_moved(word, info, given)
            anew.permute(*range(1, anew.ndim), 0)[_slices(word, info)] = True
    return anew


def _is_file(word: str) -> bool:
    return Path(word).suffix.lower() in SUFFIXES


def _cells(
    word: str, info: DataInfo, given: Given | None
) -> tuple[Tensor | slice, list[int]] | None:
    """The rows and columns that COLUMN or COLUMN:ROWS names; None where a word is neither.

    Without a file, of whose rows and columns nothing is known, there are none.
    """
    whole = _columns(word, word, info, given)
    if whole is not None:
        return slice(None), whole
    column, _, rows = word.rpartition(":")
    is_list = "," in column and column not in info.columns.names
    if _is_file(word) or is_list or not (column and rows):
        return None
    columns = _columns(column, word, info, given)
    if columns is None:
        raise _unknown(word, column, info.columns)
    return torch.tensor(_rows(word, rows, given), dtype=torch.int64), columns


def _columns(column: str, word: str, info: DataInfo, given: Given | None) -> list[int] | None:
    """Which values of a row a column is, or those of several numbers are; None of no column.

    A number is that of the column in the file.
    """
    titles, names = info.columns, given.sheet.names if given and given.sheet else None
    if column in titles.names:
        return [titles.names.index(column)]
    if column == titles.label:
        raise _of_class(word, column)
    if names and column in names:
        raise _not_learned(word, column)
    span = _SPAN.fullmatch(column)
    if span is None and not re.fullmatch("-[0-9]+", column):
        return None
    first, last = (int(span[1]), int(span[2] or span[1])) if span else (0, 0)
    if given is None:
        if not 1 <= first <= last:
            raise ConfigError(f"--mask {word}: columns have numbers from 1, as 2 or 2-4")
        return []
    sheet, learned = given.sheet, range(len(titles.whole))
    places, count = (sheet.places, sheet.width) if sheet else (learned, len(learned))
    if last > count:
        what = f"columns of {given.source.name} have numbers from 1 to {count}"
        raise ConfigError(f"--mask {word}: {what}")
    return [_value(at, word, places, names, titles) for at in range(first - 1, last)]


def _refuse_moved(word: str, info: DataInfo, given: Given) -> None:
    """Refuse slices of a table whose columns stand elsewhere than in rows of the model."""
    sheet = given.sheet
    if len(info.row) == 1 and sheet and sheet.places != [*range(sheet.width)]:
        what = f"a slice of values, and {given.source.name} has columns in another order, or more"
        raise ConfigError(f"--mask {word}: {what}; name them, or number them as 2-4")


def _value(
    at: int, word: str, places: Sequence[int], names: Sequence[str] | None, titles: Titles
) -> int:
    """Which value of a row the column at a position of a file is; one that is none is refused."""
    if at in places:
        return places.index(at)
    if names is None:
        raise _not_learned(word, f"column {at + 1}")
    called = f"column {at + 1} ({names[at]})"
    raise (_of_class if names[at] == titles.label else _not_learned)(word, called)


def _of_class(word: str, called: str) -> ConfigError:
    what = f"{called} is the class, which is told and never filled"
    return ConfigError(f"--mask {word}: {what}; --class NAME tells one")


def _not_learned(word: str, called: str) -> ConfigError:
    what = f"{called} is none of those that the model learned, and stays as it is"
    return ConfigError(f"--mask {word}: {what}; leave it out")


def _rows(word: str, text: str, given: Given | None) -> list[int]:
    """Which rows of a file have these numbers, as in 1-5,9."""
    numbers = given.numbers if given else ()
    nouns = f"{row_places.noun(given.source.name)}s" if given else "lines or rows"
    found, places = list[int](), {number: at for at, number in enumerate(numbers)}
    for token in text.split(","):
        span = _SPAN.fullmatch(token.strip())
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (-1, -1)
        there = [places[number] for number in range(first, last + 1) if number in places]
        wrong = not span or first > last
        if given and not wrong:
            wrong = not there or not numbers[0] <= first <= last <= numbers[-1]
        if wrong:
            ends = f" from {numbers[0]} to {numbers[-1]}" if given else ""
            what = f"{token.strip()!r} are no {nouns} of values"
            raise ConfigError(f"--mask {word}: {what}; write {nouns}{ends}, as 3-5,9")
        found += there
    return found


def _slices(word: str, info: DataInfo) -> tuple[slice, ...]:
    """Slices of all axes of a row, of which a word names the last ones."""
    shape, tokens = info.row, [token.strip() for token in word.split(",")]
    spans = [_INDEX.fullmatch(token) for token in tokens]
    if not all(token and span for token, span in zip(tokens, spans, strict=True)):
        raise _unknown(word, word, info.columns if len(shape) == 1 else None)
    if len(tokens) > len(shape):
        fix = "" if len(shape) > 1 else "; several columns take a --mask each, or 2-4"
        raise ConfigError(f"--mask {word}: {len(tokens)} axes, rows have {len(shape)}{fix}")
    found = []
    for span, size in zip(spans, shape[-len(tokens) :], strict=True):
        first, colon, last = (span or [None] * 4)[1], span and span[2], span and span[3]
        at = int(first or 0)
        if not colon and not -size <= at < size:
            raise ConfigError(f"--mask {word}: {at} is beyond an axis of {size}, counted from 0")
        end = (int(last) if last else size) if colon else at % size + 1
        part = slice(*slice(at if colon else at % size, end).indices(size))
        if part.start >= part.stop:
            have = "x".join(map(str, shape))
            raise ConfigError(f"--mask {word}: nothing in rows of {have}")
        found.append(part)
    return (*[slice(None)] * (len(shape) - len(tokens)), *found)


def _of_file(place: Path, info: DataInfo, given: Given) -> Tensor:
    """What a file says of each value, or of each value of every row: 0 stays, 1 is made anew."""
    if not place.is_file():
        raise Refusal(f"{place}: no such file, and no column of the model")
    with array_files.reading(place):
        stored = array_files.array(place)
        if stored is None:
            values = _of_text(place, info, given)
        else:
            values = torch.from_numpy(stored.astype("float64"))
    count = len(given.numbers)
    if tuple(values.shape) in (info.row, (1, *info.row)):
        values = values.expand(count, *info.row)
    if tuple(values.shape) != (count, *info.row):
        have, want = ("x".join(map(str, shape)) for shape in (values.shape, (count, *info.row)))
        raise Refusal(f"{place}: a mask {have}, the rows are {want}")
    if not bool(((values == 0) | (values == 1)).all()):
        raise Refusal(f"{place}: a mask holds 0 and 1 alone, 1 where values are made anew")
    return values == 1


def _of_text(place: Path, info: DataInfo, given: Given) -> Tensor:
    """The numbers of a table: its columns by name, or without names as those of the rows stand."""
    if len(info.row) > 1:
        raise Refusal(f"{place}: rows have {len(info.row)} axes; give a .npy file")
    titles = Titles(info.columns.names, (True,) * len(info.columns.whole))
    with column_files.opened(place) as text:
        first = column_files.first(text, place)
        sheet, numbers, values = given_rows.table(place, text, titles, titles.names)
    names, width = sheet.names, len(first)
    if names is not None and (missing := [name for name in titles.names if name not in first]):
        fix = "a mask has a column for each that the model learned, of 0 where all values stay"
        raise Refusal(f"{place}: no column is named {missing[0]!r}", fix)
    if names is None and width != len(titles.whole):
        if given.sheet is None or width != given.sheet.width:
            what = f"{place}: {width} columns without names, the model knows {len(titles.whole)}"
            raise Refusal(what, "name them in the first line")
        rows = [[row[at] for at in given.sheet.places] for row in sheet.rows]
        called = [row_places.called(place, number) for number in numbers]
        return cells.read(rows, titles, called)
    return values


def _unknown(word: str, name: str, titles: Titles | None) -> ConfigError:
    """The refusal of a place that is none."""
    if titles is None:
        return ConfigError(f"--mask {word}: no slice, as 24: or 0,24:, and no .npy file")
    return ConfigError(f"--mask {word}: no column is named so; {nearest(name, titles.names)}")
