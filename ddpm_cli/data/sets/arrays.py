"""Arrays of numbers from the user's own file: .npy of any shape, or .csv."""

import csv
import math
import warnings
from array import array as packed
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import array_faults, told_values, value_files
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.data.class_tables import is_number, numbered
from ddpm_cli.data.columns import Columns, Row, Wish, bad_cell, chosen, index_like
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.titles import Titles
from ddpm_cli.settings.knobs import Column, ColumnList, Fraction, Seed

Split = Literal["train", "test"]
Header = Literal["auto", "yes", "no"]
BYTE_LIMIT = 2**31  # of a file
SIDE_LIMIT = 2**16


def array(
    split: Split,
    *,
    path: str = "",
    header: Header = "auto",
    label: Column = "",
    columns: ColumnList = (),
    skip: ColumnList = (),
    values: ColumnList = (),
    values_file: str = "",
    normalize: bool = True,
    holdout: Fraction = 0.05,
    seed: Seed = 0,
) -> ArraySet:
    """The rows of a .npy or .csv file of your own: [N, D], or [N, ...] in a .npy file.

    header: whether the first line of a .csv names its columns; auto if it holds no number.
    label: name or number (from 1) of the column that holds the class; columns: those that are
    values, in that order, by default all others; skip: those that are left out. values: columns
    of numbers that the network is told, and does not learn; values_file: a .npy [N, V] or .csv
    file of them instead, a row for each. normalize: scale
    each column, or each channel of [N, C, ...], to mean 0 and deviation 1; samples are scaled
    back. holdout: the share of the rows, drawn by `seed`, that is kept for test.
    """
    if not path or "\0" in path:
        raise ConfigError("data.path: the data set needs it; add --set data.path=FILE")
    place = Path(path).expanduser()
    told = () if columns or values_file else values
    table = _read(place, header, Wish(label, columns, (*skip, *told)))
    numbers = value_files.of_rows(place, values, values_file, len(table.values), header)
    own, labels = table.values, table.labels
    split_rows = {s: _rows(s, len(own), holdout, seed, place) for s in ("train", "test")}
    if normalize:
        mean, std = statistics(own[split_rows["train"]], str(place))
    else:
        mean, std = torch.zeros(own.shape[1]), torch.ones(own.shape[1])
    rows = split_rows[split]
    part = ArraySet(
        own[rows],
        mean,
        std,
        None if labels is None else labels[rows],
        table.classes,
        titles := _titles(table, split_rows["train"]),
        f"the column {titles.label or label}" if titles else "the data",
    )
    if not math.isfinite(part.reach):
        raise Refusal(f"{place}: values beyond the range of 32-bit floats", "rescale them")
    if table.columns and split == "train":
        _warn_of_indices(place, table.columns, own)
        array_faults.warn_of_label(place, table.columns.label_name, table.columns.value_names)
    return told_values.put(part, numbers, rows, split_rows["train"])


class _Table(NamedTuple):
    """Values [N, ...] in float64; the numbers and names of classes, if a column holds them.

    columns: which columns of the file are values; None of more axes than two.
    """

    values: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    columns: Columns | None = None


def _titles(table: _Table, rows: Tensor) -> Titles | None:
    """The names of the columns, and which hold integers alone in the rows to train on."""
    columns, values = table.columns, table.values[rows]
    if columns is None:
        return None
    whole: list[bool] = (values == values.round()).all(0).tolist()
    return Titles(columns.value_names, tuple(whole), columns.label_name)


def _warn_of_indices(place: Path, columns: Columns, values: Tensor) -> None:
    """Name the columns that count rows, and how to leave them out."""
    if found := index_like(columns, values):
        named = " and ".join(map(columns.called, found))
        nameless = columns.names is not None and not any(columns.names[at] for at in found)
        what = "has no name and numbers the rows" if nameless else "numbers the rows"
        fix = f"an index is nothing to learn; leave it out: {columns.without(found)}"
        console.warn(f"{place}: {named} {what}; {fix}")


def _read(place: Path, header: Header, wish: Wish) -> _Table:
    try:
        if not place.is_file():
            raise array_faults.no_file(place)
        if place.stat().st_size > BYTE_LIMIT:
            raise Refusal(f"{place}: larger than the limit of {BYTE_LIMIT} bytes")
        if place.suffix.lower() == ".npy":
            return _read_npy(place, wish)
        if place.suffix.lower() == ".csv":
            return _read_csv(place, header, wish)
    except OSError as error:
        raise Refusal(f"{place}: {error.strerror or error}") from error
    raise array_faults.unknown_ending(place)


def _read_npy(place: Path, wish: Wish) -> _Table:
    """Read a .npy file; one that holds Python objects is refused, never unpickled."""
    array_faults.refuse_foreign(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = np.load(place, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        plain = isinstance(error, ValueError) and len(error.args) == 1
        why = (str(error).splitlines() or ["damaged"])[0] if plain else "its header is damaged"
        raise Refusal(f"{place}: no readable .npy file: {why}", array_faults.UNREADABLE) from error
    if stored.dtype.kind not in "biuf":
        raise array_faults.no_numbers(place, stored)
    array_faults.warn_of_axes(place, stored)
    if stored.ndim == 1:
        stored = stored[:, None]
    _refuse_shape(place, stored.shape)
    if stored.ndim > 2:
        if key := next((key for key, asked in wish._asdict().items() if asked), None):
            raise ConfigError(
                f"data.{key}: {place} has {stored.ndim} axes, so no columns; leave it out"
            )
        values = torch.from_numpy(np.array(stored, dtype=np.float64))
        _refuse_not_finite(place, values)
        return _Table(values)
    columns = chosen(wish, None, stored.shape[1], place)
    values = torch.from_numpy(stored[:, columns.values].astype(np.float64))
    _refuse_not_finite(place, values)
    if columns.label is None:
        return _Table(values, columns=columns)
    words = [_word(number) for number in stored[:, columns.label]]
    return _Table(values, *numbered(words, place), columns)


def _word(number: Any) -> str:
    """The name of a class that is a number of an array, all its digits told."""
    value = float(number)
    return str(int(value)) if value.is_integer() else str(number)


def _refuse_shape(place: Path, shape: tuple[int, ...]) -> None:
    claimed = "x".join(map(str, shape))
    if not shape or 0 in shape:
        raise Refusal(f"{place}: it holds nothing ({claimed or 'a single number'})")
    if math.prod(shape) > VALUE_LIMIT or max(shape[1:]) > SIDE_LIMIT:
        limits = f"{VALUE_LIMIT} values and {SIDE_LIMIT} columns"
        raise Refusal(f"{place}: {claimed} values are too many; the limit is {limits}")


def _refuse_not_finite(place: Path, values: Tensor) -> None:
    wrong = ~values.isfinite()
    if wrong.any():
        at = [int(index) + 1 for index in wrong.nonzero()[0]]
        where = f"row {at[0]}, column {at[1]}" if len(at) > 1 else f"row {at[0]}"
        count = int(wrong.sum())
        fix = f"remove or fill in the {count} values that are NaN or infinite"
        raise Refusal(f"{place}: {where}: not a finite number", fix)


def _read_csv(place: Path, header: Header, wish: Wish) -> _Table:
    """Read rows of numbers, separated by commas, semicolons or tabs."""
    array_faults.refuse_foreign(place)
    with place.open(encoding="utf-8-sig", newline="") as stream:
        try:
            start = stream.read(2**16)
            first = start.splitlines()[0] if start.strip() else ""
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            rows = ((reader.line_num, row) for row in reader if any(map(str.strip, row)))
            return _numbers(place, rows, header, wish)
        except UnicodeDecodeError:
            raise array_faults.not_utf8(place) from None
        except csv.Error as error:
            raise Refusal(f"{place}: line {reader.line_num}: {error}") from None


def _numbers(place: Path, rows: Iterator[Row], header: Header, wish: Wish) -> _Table:
    """Collect the numbers of all rows, each as long as the first, and the words of the classes."""
    first = next(rows, None)
    if first is None:
        raise Refusal(f"{place}: it holds nothing")
    names = [cell.strip() for cell in first[1]]
    named = header == "yes" or (header == "auto" and not any(map(is_number, names)))
    columns = chosen(wish, names if named else None, len(names), place)
    cells, words = packed("d"), list[str]()
    for line, row in rows if named else chain([first], rows):
        if len(row) != len(names):
            fix = "every line needs as many values as the first"
            raise Refusal(f"{place}: line {line}: {len(row)} values, expected {len(names)}", fix)
        if not all(is_number(row[at]) for at in columns.values):
            raise bad_cell(place, columns, (line, row), rows)
        cells.extend(float(row[at]) for at in columns.values)
        if columns.label is not None:
            words.append(_class(place, columns, line, row[columns.label]))
        if len(cells) > VALUE_LIMIT:
            raise Refusal(f"{place}: more than the limit of {VALUE_LIMIT} values")
    if not cells:
        raise Refusal(f"{place}: it holds a header and nothing else")
    values = torch.frombuffer(cells, dtype=torch.float64).reshape(-1, len(columns.values)).clone()
    _refuse_shape(place, tuple(values.shape))
    if columns.label is None:
        return _Table(values, columns=columns)
    return _Table(values, *numbered(words, place), columns)


def _class(place: Path, columns: Columns, line: int, cell: str) -> str:
    """The name of a row's class; a row without one is refused."""
    if not cell.strip():
        where = columns.called(columns.label or 0)
        raise Refusal(f"{place}: line {line}, {where}: no class", "fill it in, or drop the row")
    return cell.strip()


def _rows(part: str, count: int, holdout: float, seed: int, place: Path) -> Tensor:
    """The numbers of the rows of a split, in the order of the file."""
    generator = torch.Generator().manual_seed(keyed(seed, "holdout"))
    shuffled = torch.randperm(count, generator=generator)
    held = max(1, round(count * holdout)) if holdout else 0
    chosen = shuffled[:held] if part == "test" else shuffled[held:]
    if not len(chosen):
        what = f"{place}: none of its {count} rows is for {part}"
        raise Refusal(what, f"Change data.holdout (now {holdout}), the share that is for test.")
    return chosen.sort().values
