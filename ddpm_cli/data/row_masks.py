"""Which values of given rows are made anew: columns, cells, slices, or files of 0 and 1."""

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.data import array_files, column_files, given_rows
from ddpm_cli.errors import ConfigError, Refusal, nearest
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
        column, colon, _ = word.rpartition(":")
        if colon and len(info.row) == 1 and _addressed(column, word, info.columns) is not None:
            continue
        if Path(word).suffix.lower() not in SUFFIXES:
            mask([word], info, range(1))
        elif not Path(word).is_file() and word not in named([word], info):
            raise Refusal(f"{word}: no such file, and no column of the model")


def mask(
    places: Sequence[str], info: DataInfo, numbers: Sequence[int], noun: str = "row"
) -> Tensor:
    """What places say of rows is made anew, bool [N, ...]; several unite.

    COLUMN, by name or number from 1; COLUMN:ROWS as in 1-5,9, of rows by their `numbers`, which
    are those of a `noun`; indices and slices as Python has them, of the last axes of a row, as in
    24: or 0,24:; a file of 0 and 1.
    """
    anew = torch.zeros(len(numbers), *info.row, dtype=torch.bool)
    for word in places:
        if not word:
            raise ConfigError("--mask: an empty name; give a column, a slice or a file")
        _add(anew, word, info, numbers, noun)
    return anew


def _add(anew: Tensor, word: str, info: DataInfo, numbers: Sequence[int], noun: str) -> None:
    """Mark what one place says."""
    titles = info.columns if len(info.row) == 1 else None
    if titles is not None and (at := _column(word, titles)) is not None:
        anew[:, at] = True
        return
    column, colon, rows = word.rpartition(":")
    if titles is not None and colon and (at := _addressed(column, word, titles)) is not None:
        chosen = torch.tensor(_rows(word, rows, numbers, noun))
        anew[chosen, at] = True
        return
    if titles is not None and re.fullmatch("-?[0-9]+", word):
        raise ConfigError(f"--mask {word}: columns have numbers from 1 to {len(titles.names)}")
    if Path(word).suffix.lower() in SUFFIXES:
        anew |= _of_file(Path(word), info, len(anew))
        return
    places = _slices(word, info.row)
    if places is None:
        raise _unknown(word, titles)
    part = anew.permute(*range(1, anew.ndim), 0)[places]  # a view
    if not part.numel():
        raise ConfigError(f"--mask {word}: nothing in rows of {'x'.join(map(str, info.row))}")
    part.fill_(True)


def _column(word: str, titles: Titles) -> int | None:
    """The place of a column, by its name or its number from 1."""
    if word in titles.names:
        return titles.names.index(word)
    is_there = word.isdecimal() and 1 <= int(word) <= len(titles.names)
    return int(word) - 1 if is_there else None


def _addressed(column: str, word: str, titles: Titles) -> int | None:
    """The place of the column of COLUMN:ROWS; of a number where the whole is no slice."""
    if column in titles.names or not _INDEX.fullmatch(word):
        return _column(column, titles)
    return None


def _rows(word: str, text: str, numbers: Sequence[int], noun: str) -> list[int]:
    """Which rows have these numbers, as in 1-5,9."""
    found, places = list[int](), {number: at for at, number in enumerate(numbers)}
    for token in text.split(","):
        span = _SPAN.fullmatch(token.strip())
        first, last = (int(span[1]), int(span[2] or span[1])) if span else (-1, -1)
        there = [places[number] for number in range(first, last + 1) if number in places]
        if not there or not numbers[0] <= first <= last <= numbers[-1]:
            fix = f"write {noun}s from {numbers[0]} to {numbers[-1]}, as 3-5,9"
            raise ConfigError(f"--mask {word}: {token.strip()!r} are no {noun}s of values; {fix}")
        found += there
    return found


def _slices(word: str, shape: Sequence[int]) -> tuple[slice, ...] | None:
    """Slices of all axes of a row, of which a word names the last ones; None if it names none."""
    tokens = [token.strip() for token in word.split(",")]
    spans = [_INDEX.fullmatch(token) for token in tokens]
    if not all(token and span for token, span in zip(tokens, spans, strict=True)):
        return None
    if len(tokens) > len(shape):
        raise ConfigError(f"--mask {word}: {len(tokens)} axes, rows have {len(shape)}")
    found = []
    for span, size in zip(spans, shape[-len(tokens) :], strict=True):
        first, colon, last = (span or [None] * 4)[1], span and span[2], span and span[3]
        if colon:
            found.append(slice(int(first) if first else None, int(last) if last else None))
            continue
        at = int(first or 0)
        if not -size <= at < size:
            raise ConfigError(f"--mask {word}: {at} is beyond an axis of {size}, counted from 0")
        found.append(slice(at % size, at % size + 1))
    return (*[slice(None)] * (len(shape) - len(tokens)), *found)


def _of_file(place: Path, info: DataInfo, count: int) -> Tensor:
    """What a file says of each value, or of each value of every row: 0 stays, 1 is made anew."""
    if not place.is_file():
        raise Refusal(f"{place}: no such file, and no column of the model")
    with array_files.reading(place):
        stored = array_files.array(place)
        if stored is None:
            values = _of_text(place, info)
        else:
            values = torch.from_numpy(stored.astype("float64"))
    if tuple(values.shape) == info.row:
        values = values.expand(count, *info.row)
    if tuple(values.shape) != (count, *info.row):
        have, want = ("x".join(map(str, shape)) for shape in (values.shape, (count, *info.row)))
        raise Refusal(f"{place}: a mask {have}, the rows are {want}")
    if not bool(((values == 0) | (values == 1)).all()):
        raise Refusal(f"{place}: a mask holds 0 and 1 alone, 1 where values are made anew")
    return values == 1


def _of_text(place: Path, info: DataInfo) -> Tensor:
    """The numbers of a table, their columns by name if the first line has names."""
    if len(info.row) > 1:
        raise Refusal(f"{place}: rows have {len(info.row)} axes; give a .npy file")
    titles = Titles(info.columns.names, (True,) * len(info.columns.whole))
    with column_files.opened(place) as text:
        return given_rows.table(place, text, titles)[2]


def _unknown(word: str, titles: Titles | None) -> ConfigError:
    """The refusal of a place that is none."""
    if titles is None:
        return ConfigError(f"--mask {word}: no slice, as 24: or 0,24:, and no .npy file")
    return ConfigError(f"--mask {word}: no column is named so; {nearest(word, titles.names)}")
