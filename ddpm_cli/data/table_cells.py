"""The cells of a table as numbers: the words of categories are numbered, and gaps are NaN."""

import math
from array import array as packed
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data import column_files
from ddpm_cli.data.array_set import VALUE_LIMIT
from ddpm_cli.data.class_tables import in_order, numbered
from ddpm_cli.data.column_files import Text
from ddpm_cli.data.columns import (
    Columns,
    Faults,
    Row,
    Wish,
    chosen,
    is_of_words,
    refuse_crowded,
)
from ddpm_cli.errors import Refusal
from ddpm_cli.files import row_places
from ddpm_cli.files.titles import is_gap, is_number
from ddpm_cli.settings.knobs import Header


class Table(NamedTuple):
    """Values [N, ...] in float64; the numbers and names of classes, if a column holds them.

    columns: which columns of the file are values; None of more axes than two. words: those of
    each column of values, by its number among them; the values are their numbers.
    """

    values: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] | None = None
    columns: Columns | None = None
    words: Mapping[int, tuple[str, ...]] = MappingProxyType({})


def read(place: Path, text: Text, header: Header, wish: Wish, *, may_lack: bool) -> Table:
    """The table of rows of text, each as long as the first; may_lack: there may be gaps."""
    names = column_files.first(text, place)
    named = column_files.names_columns(text, names, header)
    columns = chosen(wish, names if named else None, len(names), place)
    checked = column_files.body(text, place, len(names), is_named=named)
    values, labels, faults = _numbers(place, columns, checked)
    of_words = [at for at in columns.values if is_of_words(columns, at, faults, len(values))]
    words = dict[int, tuple[str, ...]]()
    if of_words:
        faults.forget(of_words)
        again = islice(text.rows(), int(named), None)
        words = _numbered(place, columns, of_words, again, values, faults)
    if may_lack:
        faults.gaps.clear()
    if faults.words or faults.gaps:
        raise faults.refusal(place, columns, len(values))
    if columns.label is None:
        return Table(values, columns=columns, words=words)
    return Table(values, *numbered(labels, place), columns, words)


def _numbers(
    place: Path, columns: Columns, rows: Iterable[Row]
) -> tuple[Tensor, list[str], Faults]:
    """Values [N, C], NaN where a cell is none or of a category; the words of classes; faults."""
    cells, labels, faults = packed("d"), list[str](), Faults()
    for line, row in rows:
        for at in columns.values:
            cell = row[at]
            if at in columns.asked:
                cells.append(math.nan)
            elif is_number(cell):
                cells.append(float(cell))
            else:
                cells.append(math.nan)
                faults.add(at, line, cell)
        if columns.label is not None:
            labels.append(_class(place, columns, line, row[columns.label]))
        if len(cells) > VALUE_LIMIT:
            raise Refusal(f"{place}: more than the limit of {VALUE_LIMIT} values")
    found = torch.frombuffer(cells, dtype=torch.float64).reshape(-1, len(columns.values))
    return found.clone(), labels, faults


def _numbered(
    place: Path,
    columns: Columns,
    of_words: Sequence[int],
    rows: Iterable[Row],
    values: Tensor,
    faults: Faults,
) -> dict[int, tuple[str, ...]]:
    """The words of columns, whose numbers become values; their gaps are added to the faults."""
    cells = {at: list[str]() for at in of_words}
    for line, row in rows:
        for at, found in cells.items():
            cell = row[at].strip()
            if is_gap(cell, of_words=True):
                faults.add(at, line, cell)
                cell = ""
            found.append(cell)
    words = dict[int, tuple[str, ...]]()
    for at, found in cells.items():
        known = in_order({*found} - {""})
        refuse_crowded(place, columns, at, len(known), len(found))
        numbers = {word: number for number, word in enumerate(known)} | {"": math.nan}
        column = columns.values.index(at)
        values[:, column] = torch.tensor([float(numbers[cell]) for cell in found])
        words[column] = known
    return words


def _class(place: Path, columns: Columns, line: int, cell: str) -> str:
    """The name of a row's class; a row without one is refused."""
    if not cell.strip():
        where = columns.called(columns.label or 0)
        called = row_places.called(place, line)
        raise Refusal(f"{called}, {where}: no class", "fill it in, or drop the row")
    return cell.strip()
