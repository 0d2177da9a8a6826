"""Rows of cells of the files that tables come in: .csv, and columns of .npz and Parquet files."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from ddpm_cli.data import array_faults, array_files
from ddpm_cli.data.columns import Row
from ddpm_cli.data.parquet_files import refuse_without_arrow
from ddpm_cli.errors import Refusal, many
from ddpm_cli.files import row_places
from ddpm_cli.files.titles import is_number
from ddpm_cli.foreign import telling
from ddpm_cli.settings.knobs import Header

LINES = "write the names of the columns in the first line, and a line of values for each row"
Rows = Callable[[], Iterator[Row]]  # reads a table from its begin


class Text(NamedTuple):
    """A table as text: its rows, what stands between cells, and at the end of lines.

    is_named: whether its first row names the columns for sure.
    """

    rows: Rows
    mark: str = ","
    end: str = "\n"
    is_named: bool = True


@contextmanager
def opened(place: Path, *, keeps_empty: bool = False) -> Iterator[Text]:
    """The table in a file, by its ending: of each row its number, and a cell for each column.

    Rows have the numbers of `row_places`; numbers of .npz and Parquet files are written so that
    the same ones are read. keeps_empty: lines of a .csv may have cells of which all are empty.
    """
    suffix = place.suffix.lower()
    if suffix == ".csv":
        with _csv(place, keeps_empty) as text:
            yield text
        return
    yield Text(_of_columns(place, _npz(place) if suffix == ".npz" else _parquet(place)))


def first(text: Text, place: Path) -> list[str]:
    """The cells of the first row of a table; one that holds nothing is refused."""
    found = next(text.rows(), None)
    if found is None:
        raise Refusal(f"{place}: it holds nothing", LINES)
    return [cell.strip() for cell in found[1]]


def names_columns(text: Text, first: Sequence[str], header: Header = "auto") -> bool:
    """Whether the first row names the columns; header: what is said of it.

    auto: it does if it holds no number.
    """
    if text.is_named or header != "auto":
        return text.is_named or header == "yes"
    return not any(map(is_number, first))


def body(text: Text, place: Path, count: int, *, is_named: bool) -> Iterator[Row]:
    """The rows of a table, each of `count` cells, but for the names; none at all are refused."""
    rows = islice(text.rows(), int(is_named), None)
    row = next(rows, None)
    if row is None:
        raise Refusal(f"{place}: it holds a header and nothing else", LINES)
    for number, cells in chain([row], rows):
        if len(cells) != count:
            where = row_places.called(place, number)
            fix = "every line needs a cell for each column, an empty one for what is not known"
            raise Refusal(f"{where}: {many(len(cells), 'cells')}, expected {count}", fix)
        yield number, cells


def _of_columns(place: Path, columns: Mapping[str, Sequence[Any]]) -> Rows:
    """The rows of columns by their names, which are the first row."""
    cells = [[*map(_cell, values)] for values in columns.values()]
    if len({*map(len, cells)}) > 1:
        counts = ", ".join(f"{len(values)} of {name}" for name, values in columns.items())
        raise Refusal(f"{place}: no table, as its columns differ: {counts}")

    def rows() -> Iterator[Row]:
        yield -1, [*columns]
        yield from enumerate(map(list, zip(*cells, strict=True)))

    return rows


@contextmanager
def _csv(place: Path, keeps_empty: bool) -> Iterator[Text]:
    """Rows of cells, separated by commas, semicolons or tabs."""
    array_faults.refuse_foreign(place)
    with place.open(encoding="utf-8-sig", newline="") as stream:

        def rows() -> Iterator[Row]:
            stream.seek(0)
            reader, begins = csv.reader(stream, delimiter=mark), 1
            try:
                for row in reader:  # a cell may go over several lines
                    if any(map(str.strip, row)) or (keeps_empty and len(row) > 1):
                        yield begins, row
                    begins = reader.line_num + 1
            except csv.Error as error:
                raise Refusal(f"{row_places.called(place, begins)}: {error}") from None

        try:
            start = stream.read(2**16)
            head = start.splitlines()[0] if start.strip() else ""
            mark = max(",;\t", key=head.count)
            yield Text(rows, mark, "\r\n" if "\r\n" in start else "\n", is_named=False)
        except UnicodeDecodeError:
            raise array_faults.not_utf8(place) from None


def _npz(place: Path) -> Mapping[str, Sequence[Any]]:
    """The arrays of one axis in a .npz file."""
    columns = array_files.entries(place)
    for name, values in columns.items():
        if values.ndim != 1 or values.dtype.kind not in "biufU":
            shape = "x".join(map(str, values.shape)) or "a single value"
            what = f"an .npz file: {name} is no column but {shape} of {values.dtype}"
            told = telling.told(place, "data", texts=False)
            fix = "save columns: numpy.savez('FILE.npz', age=..., height=...)"
            raise Refusal(f"{place}: {what}", told.way if told else fix)
    return {name: values.tolist() for name, values in columns.items()}


def _parquet(place: Path) -> Mapping[str, Sequence[Any]]:
    """The columns of a Parquet file, of numbers, truths and words."""
    try:
        refuse_without_arrow()
    except Refusal as problem:
        raise Refusal(
            f"{place}: a Parquet file, and {problem.args[0]}", *problem.args[1:]
        ) from None
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(place).read()
    except (pyarrow.ArrowException, OSError) as error:
        why = (str(error).splitlines() or ["damaged"])[0]
        raise Refusal(
            f"{place}: a Parquet file that is damaged: {why}", "copy it again"
        ) from error
    pairs = zip(table.column_names, table.columns, strict=True)
    columns = {name: column.to_pylist() for name, column in pairs}
    for name, values in columns.items():
        if any(not isinstance(value, (int, float, str, type(None))) for value in values):
            what = f"{place}: {name} holds neither numbers nor words"
            raise Refusal(what, "write a table without it")
    return columns


def _cell(value: Any) -> str:
    """What stands in a cell; nothing for what is missing."""
    return "" if value is None or value != value else str(value)
