"""Rows of cells of the files that tables come in: .csv, and columns of .npz and Parquet files."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_cli.data import array_faults
from ddpm_cli.data.array_faults import UNREADABLE
from ddpm_cli.data.columns import Row
from ddpm_cli.data.parquet_files import refuse_without_arrow
from ddpm_cli.errors import Refusal
from ddpm_cli.foreign import telling

Rows = Callable[[], Iterator[Row]]  # reads a table from its begin
NAMED = (".npz", ".parquet")  # files that always name their columns


@contextmanager
def opened(place: Path) -> Iterator[Rows]:
    """Rows of a file, by its ending: the number of the line or row, and a cell for each column.

    Numbers of .npz and Parquet files are written so that the same ones are read.
    """
    if place.suffix.lower() == ".csv":
        with _csv(place) as rows:
            yield rows
        return
    yield _of_columns(place, _npz(place) if place.suffix.lower() == ".npz" else _parquet(place))


def _of_columns(place: Path, columns: Mapping[str, Sequence[Any]]) -> Rows:
    """The rows of columns by their names, which are the first row."""
    cells = [[*map(_cell, values)] for values in columns.values()]
    if len({*map(len, cells)}) > 1:
        counts = ", ".join(f"{len(values)} of {name}" for name, values in columns.items())
        raise Refusal(f"{place}: no table, as its columns differ: {counts}")

    def rows() -> Iterator[Row]:
        yield 1, [*columns]
        yield from enumerate(map(list, zip(*cells, strict=True)), 2)

    return rows


@contextmanager
def _csv(place: Path) -> Iterator[Rows]:
    """Rows of cells, separated by commas, semicolons or tabs."""
    array_faults.refuse_foreign(place)
    with place.open(encoding="utf-8-sig", newline="") as stream:

        def rows() -> Iterator[Row]:
            stream.seek(0)
            reader = csv.reader(stream, delimiter=mark)
            try:
                yield from ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            except csv.Error as error:
                raise Refusal(f"{place}: line {reader.line_num}: {error}") from None

        try:
            start = stream.read(2**16)
            first = start.splitlines()[0] if start.strip() else ""
            mark = max(",;\t", key=first.count)
            yield rows
        except UnicodeDecodeError:
            raise array_faults.not_utf8(place) from None


def _npz(place: Path) -> Mapping[str, Sequence[Any]]:
    """The arrays of one axis in a .npz file; Python objects are refused, never unpickled."""
    try:
        with np.load(place, allow_pickle=False) as stored:
            columns = {name: stored[name] for name in stored.files}
    except OSError:
        raise
    except Exception as error:  # NumPy reads the headers with Python's own parser
        if told := telling.told(place, "data", texts=False):
            raise told.refusal(place, "no readable .npz file of columns") from error
        raise Refusal(f"{place}: no readable .npz file", UNREADABLE) from error
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
