"""Rows that a user gives to a model of arrays: read, partly filled, and written as they came."""

import csv
import io
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.data import array_faults
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import cells
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.titles import is_gap, is_number

SUFFIXES = (".csv", ".npy")
BYTE_LIMIT = 2**31  # of a file


class Sheet(NamedTuple):
    """A table as text, and how it is written: what stands between cells, and at the end of lines.

    names: of the columns, None if the file names none; places: where those of the model stand.
    """

    names: list[str] | None
    rows: list[list[str]]
    places: list[int]
    mark: str = ","
    end: str = "\n"

    def text(self) -> str:
        """The file."""
        stream = io.StringIO()
        writer = csv.writer(stream, delimiter=self.mark, lineterminator=self.end)
        writer.writerows([*([self.names] if self.names is not None else []), *self.rows])
        return stream.getvalue()


class Given(NamedTuple):
    """Rows of a file: values float64 [N, ...] in the units of the data, NaN where there is none.

    labels: the class of each row, if the file has a column of them, None where it is not told;
    sheet: the text of a .csv file; dtype: of the numbers of an array to write.
    """

    source: Source
    values: Tensor
    labels: list[str | None] | None = None
    sheet: Sheet | None = None
    dtype: str = "float64"

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
            what = f"the model makes arrays {'x'.join(map(str, info.row))}, no images"
            fix = "choose another with -m, or give it a .csv or .npy file"
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
        raise ConfigError("INPUT: rows are read from a file; give a .csv or .npy file")
    if not place.is_dir():
        yield Source(path, place.stem)
        return
    files = sorted(file for file in place.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        raise Refusal(f"{path}: no .csv or .npy file in this folder")
    yield from (Source(str(file), file.stem) for file in files)


def read(source: Source, info: DataInfo, added: Sequence[str] = ()) -> Given:
    """The rows of a file, their columns found by name; what the model cannot take is refused.

    added: columns that the file may lack, and then has with empty cells.
    """
    place = Path(source.name)
    try:
        if not place.is_file():
            raise array_faults.no_file(place)
        if place.stat().st_size > BYTE_LIMIT:
            raise Refusal(f"{place}: larger than the limit of {BYTE_LIMIT} bytes")
        suffix = place.suffix.lower()
        if suffix not in SUFFIXES:
            raise array_faults.unknown_ending(place)
        if suffix == ".npy":
            values, dtype = _of_array(place, info)
            return Given(source, values, dtype=dtype)
        return _of_text(source, place, info, added)
    except OSError as error:
        raise Refusal(f"{place}: {error.strerror or error}") from error


def stored(place: Path) -> Any:
    """The array in a .npy file; one that holds Python objects is refused, never unpickled."""
    array_faults.refuse_foreign(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.load(place, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        plain = isinstance(error, ValueError) and len(error.args) == 1
        why = (str(error).splitlines() or ["damaged"])[0] if plain else "its header is damaged"
        raise Refusal(f"{place}: no readable .npy file: {why}", array_faults.UNREADABLE) from error
    if found.dtype.kind not in "biuf":
        raise array_faults.no_numbers(place, found)
    return found


def _of_array(place: Path, info: DataInfo) -> tuple[Tensor, str]:
    """The values of a .npy file, and in which numbers they are written again."""
    found = stored(place)
    if found.ndim == 1 and info.row == (1,):
        found = found[:, None]
    have, want = ("x".join(map(str, shape)) for shape in (found.shape, ("N", *info.row)))
    if tuple(found.shape[1:]) != info.row or not len(found):
        raise Refusal(f"{place}: an array {have}, the model takes {want}")
    values = torch.from_numpy(np.array(found, dtype=np.float64))
    if bool(values.isinf().any()):
        raise Refusal(f"{place}: infinite values; write NaN for what is not known")
    is_single = found.dtype.kind == "f" and found.dtype.itemsize <= 4
    return values, "float32" if is_single else "float64"


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


def _of_text(source: Source, place: Path, info: DataInfo, added: Sequence[str]) -> Given:
    """The rows of a .csv file."""
    if len(info.row) > 1:
        want = "x".join(map(str, ("N", *info.row)))
        raise Refusal(f"{place}: the model takes arrays {want}; give a .npy file")
    rows, mark, end = text_rows(place)
    titles = info.columns
    names = None
    if rows and (cells.arranged(_with(rows[:1], added), titles, place) or _is_header(rows[0])):
        names, rows = _with(rows[:1], added)[0], rows[1:]
        rows = [row + [""] * (len(names) - len(row)) for row in rows] if added else rows
    places = cells.arranged([names], titles, place) if names else None
    places = [*range(len(titles.whole))] if places is None else places
    width = len(names or rows[0]) if names or rows else 0
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise Refusal(f"{place}: row {number}: {len(row)} cells, expected {width}")
    if not rows:
        raise Refusal(f"{place}: no rows in it")
    if width <= max(places):
        raise Refusal(f"{place}: {width} columns, the model takes {len(places)}")
    head = [names] if names and titles.columns else []
    values = info.values_of([*head, *rows], place)
    sheet = Sheet(names, rows, places, mark, end)
    label = titles.label
    labels = None
    if label is not None and names is not None and label in names:
        at = names.index(label)
        labels = [None if is_gap(row[at]) else row[at].strip() for row in rows]
    return Given(source, values, labels, sheet)


def _with(head: list[list[str]], added: Sequence[str]) -> list[list[str]]:
    """A first line with the names that it lacks."""
    names = [cell.strip() for cell in head[0]]
    return [[*head[0], *(name for name in added if name not in names)]]


def _is_header(row: Sequence[str]) -> bool:
    """Whether a first line holds names, of which none is a number."""
    return not any(is_number(cell) or is_gap(cell) for cell in row)


def text_rows(place: Path) -> tuple[list[list[str]], str, str]:
    """The rows of a .csv file, what separates their cells, and what ends their lines."""
    array_faults.refuse_foreign(place)
    try:
        with place.open(encoding="utf-8-sig", newline="") as stream:
            start = stream.read(2**16)
            first = start.splitlines()[0] if start.strip() else ""
            mark = max(",;\t", key=first.count)
            stream.seek(0)
            every = csv.reader(stream, delimiter=mark)
            rows = [row for row in every if len(row) > 1 or any(map(str.strip, row))]
    except UnicodeDecodeError:
        raise array_faults.not_utf8(place) from None
    except csv.Error as error:
        raise Refusal(f"{place}: {error}") from None
    return rows, mark, "\r\n" if "\r\n" in start else "\n"
