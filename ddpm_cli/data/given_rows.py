"""Rows that a user gives to a model of arrays: read, partly filled, and written as they came."""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.data import array_files, column_files
from ddpm_cli.data.column_files import Text
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import cells, row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.row_places import LISTED, SUFFIXES, shaped
from ddpm_cli.files.titles import Titles, is_gap, is_number


class Sheet(NamedTuple):
    """A table as text, and how it is written: what stands between cells, and at the end of lines.

    names: of the columns, None if the file names none; places: where those of the model stand.
    """

    names: list[str] | None
    rows: list[list[str]]
    places: list[int]
    mark: str = ","
    end: str = "\n"

    @property
    def width(self) -> int:
        """How many columns it has."""
        return len(self.rows[0])

    def text(self) -> str:
        """The file."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=self.mark, lineterminator=self.end)
        writer.writerows([*([self.names] if self.names is not None else []), *self.rows])
        return stream.getvalue()


class Given(NamedTuple):
    """Rows of a file: values float64 [N, ...] in the units of the data, NaN where there is none.

    numbers: of the lines or rows that they are, see `row_places`; labels: the class of each row,
    if the file has a column of them, None where it is not told; sheet: a table as text; dtype: of
    the numbers of an array to write.
    """

    source: Source
    values: Tensor
    numbers: Sequence[int]
    labels: list[str | None] | None = None
    sheet: Sheet | None = None
    dtype: str = "float64"

    def called(self, row: int) -> str:
        """What messages call a row, of those here."""
        return row_places.called(self.source.name, self.numbers[row])

    @property
    def array(self) -> Any:
        """The values as the file has them."""
        return self.values.numpy().astype(self.dtype)

    def filled(self, values: Tensor, info: DataInfo, suffix: str) -> "Given":
        """The same rows with `values` [N, ...] where they have none; what is given stays.

        suffix: of the file to write; rows of an array as text have cells of their own.
        """
        gaps, sheet = self.values.isnan(), self.sheet
        if sheet is None and suffix == ".csv":
            sheet = _sheet_of(self.values, info, self.source)
        if sheet is not None:
            rows = [[*row] for row in sheet.rows]
            texts = info.cells(values)[1:]
            for row, column in gaps.nonzero().tolist():
                rows[row][sheet.places[column]] = texts[row][column]
            sheet = sheet._replace(rows=rows)
        whole = torch.where(gaps, values.double(), self.values)
        return self._replace(values=whole, sheet=sheet)


def sources(paths: Sequence[str], info: DataInfo, *, repeated: bool = False) -> list[Source]:
    """The files of rows that arguments name: files, or folders with all of theirs by name.

    Other files are refused, and the same one twice unless `repeated`; info: of the model.
    """
    for place in (Path(path) for path in paths if path not in ("", "-")):
        if place.is_file() and place.suffix.lower() not in SUFFIXES:
            what = f"the model makes {shaped(info.row)}, no images"
            fix = f"choose another with -m, or give it {LISTED}"
            raise Refusal(f"{place}: {what}", fix)
    found = [source for path in paths for source in _listed(path)]
    counts = Counter(Path(source.name).absolute() for source in found)
    twice = [source.name for source in found if counts[Path(source.name).absolute()] > 1]
    if twice and not repeated:
        raise ConfigError(f"{twice[0]}: named more than once; leave one out")
    return found


def _listed(path: str) -> Iterator[Source]:
    place = Path(path)
    if path == "-" or not path:
        raise ConfigError(f"INPUT: rows are read from a file; give {LISTED}")
    if not place.is_dir():
        yield Source(path, place.stem)
        return
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise Refusal(f"{path}: none of {', '.join(SUFFIXES)} in this folder", f"give {LISTED}")
    yield from (Source(str(file), file.stem) for file in files)


def read(source: Source, info: DataInfo, added: Sequence[str] = ()) -> Given:
    """The rows of a file, their columns found by name; what the model cannot take is refused.

    added: columns that the file may lack, and then has with empty cells.
    """
    place = Path(source.name)
    with array_files.reading(place):
        stored = array_files.array(place)
        if stored is not None:
            return _of_array(source, stored, info)
        with column_files.opened(place, keeps_empty=True) as text:
            return _of_text(source, place, text, info, added)


def _of_array(source: Source, found: Any, info: DataInfo) -> Given:
    """The rows of an array."""
    if found.ndim == 1 and info.row == (1,):
        found = found[:, None]
    what = f"{source.name}: an array of shape {'x'.join(map(str, found.shape)) or '()'}"
    if found.ndim and not len(found):
        raise Refusal(f"{what}, which has no rows")
    if tuple(found.shape[1:]) != info.row or not found.ndim:
        want = "x".join(map(str, ("N", *info.row)))
        what += f"; the model takes {shaped(info.row)}, {want}"
        raise Refusal(what, _fitting(found.shape, info.row))
    values = torch.from_numpy(np.array(found, dtype=np.float64))
    if bool(values.isinf().any()):
        raise Refusal(f"{source.name}: infinite values; write NaN for what is not known")
    is_single = found.dtype.kind == "f" and found.dtype.itemsize <= 4
    dtype = "float32" if is_single else "float64"
    return Given(source, values, range(len(values)), dtype=dtype)


def _fitting(shape: tuple[int, ...], row: tuple[int, ...]) -> str:
    """What makes an array of a shape one of rows that a model takes."""
    if shape == row:
        return "if it is one of them: numpy.save('FILE.npy', a[None])"
    if shape[1:] and math.prod(shape[1:]) == math.prod(row):
        axes = ", ".join(map(str, (-1, *row)))
        return f"if the values are in the same order: numpy.save('FILE.npy', a.reshape({axes}))"
    if len(row) == 1 and len(shape) <= 2:
        return "a .csv file with names has its columns in any order, and may have more"
    return "choose another model with -m, or take out what it knows of them"


def _sheet_of(values: Tensor, info: DataInfo, source: Source) -> Sheet:
    """Rows of an array as text: numbers with all their digits, words for categories."""
    if len(info.row) > 1:
        want = "x".join(map(str, ("N", *info.row)))
        raise Refusal(f"{source.name}: arrays {want} are no table", "write a .npy file: -o x.npy")
    titles, texts = info.columns, info.cells(values)[1:]
    for row, column in (~values.isnan()).nonzero().tolist():
        value = float(values[row, column])
        if not titles.words(column) and not value.is_integer():
            texts[row][column] = repr(value)
    return Sheet([*titles.names], texts, [*range(len(titles.whole))])


def _of_text(
    source: Source, place: Path, text: Text, info: DataInfo, added: Sequence[str]
) -> Given:
    """The rows of a table of cells."""
    if len(info.row) > 1:
        want = "x".join(map(str, ("N", *info.row)))
        what = f"{place}: a table, whose rows have one axis; the model takes {shaped(info.row)}"
        raise Refusal(what, f"give a .npy file of shape {want}")
    sheet, numbers, values = table(place, text, info.columns, added)
    label, labels = info.columns.label, None
    if label is not None and sheet.names is not None and label in sheet.names:
        at = sheet.names.index(label)
        labels = [None if is_gap(row[at]) else row[at].strip() for row in sheet.rows]
    return Given(source, values, numbers, labels, sheet)


def table(
    place: Path, text: Text, titles: Titles, added: Sequence[str] = ()
) -> tuple[Sheet, list[int], Tensor]:
    """A table of cells, the number of each row, and values float64 [N, C] in a model's order.

    added: columns that it may lack, and then has with empty cells.
    """
    first = column_files.first(text, place)
    is_named = _names_columns(text, first, titles)
    names = [*first, *(name for name in added if name not in first)] if is_named else None
    order = cells.arranged([names], titles, place) if names else None
    places, width = order or _usual(len(first), titles), len(names or first)
    if width <= max(places):
        what = f"{place}: {width} columns, the model takes {len(places)}"
        raise Refusal(
            what, f"name those of the model in the first line: {', '.join(titles.names)}"
        )
    lines = [*column_files.body(text, place, len(first), is_named=is_named)]
    rows = [[*row, *[""] * (width - len(first))] for _, row in lines]
    numbers = [number for number, _ in lines]
    called = [row_places.called(place, number) for number in numbers]
    values = cells.read([[row[at] for at in places] for row in rows], titles, called)
    return Sheet(names, rows, places, text.mark, text.end), numbers, values


def _usual(width: int, titles: Titles) -> list[int]:
    """Where the columns of a model stand in a table without names, which may hold its class."""
    places, before = [*range(len(titles.whole))], titles.place
    if before is None or width != len(places) + 1:
        return places
    return [at + (at >= before) for at in places]


def _names_columns(text: Text, first: Sequence[str], titles: Titles) -> bool:
    """Whether the first row names columns: some of a model's, or others where none is a value."""
    if text.is_named or all(map(is_number, first)):
        return text.is_named
    is_known = not {*titles.names}.isdisjoint(first)
    return is_known or not any(is_number(cell) or is_gap(cell) for cell in first)
