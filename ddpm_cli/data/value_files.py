"""Numbers of the rows of a set in a file beside it: a table, or an array with as many rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddpm_cli.data import array_files, column_files, image_tables, texts, told_values
from ddpm_cli.data.column_files import Text
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.places import place
from ddpm_cli.data.sources import Files
from ddpm_cli.data.told_values import Numbers, number, of_words, position
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import row_places
from ddpm_cli.settings.knobs import Header


def of_files(
    files: Files, wanted: Sequence[str], values_file: str, told: Told | None = None
) -> Numbers | None:
    """What is told of the images of a set: by the set itself, a table in it, or a file beside.

    Rows are in the order of the names of the images.
    """
    if values_file:
        return read(values_file, wanted, len(files.names))
    if not wanted:
        return None
    names = told_values.checked(wanted)
    if told is not None and told.values is not None:
        return Numbers(names, told.values(names), str(files.root))
    return _of_tables(files, names)


def _of_tables(files: Files, wanted: tuple[str, ...]) -> Numbers:
    """The columns of the tables beside images (labels.csv, metadata.csv, metadata.jsonl)."""
    found: dict[str, list[float]] = {}
    keys, there, places = [name.lower() for name in wanted], dict[str, None](), dict[str, None]()
    for table, where, image, cells in image_tables.rows(files):
        there |= dict.fromkeys(cells)
        places[table] = None
        found[image] = [
            number(cells.get(key), f"{where}, {name}")
            for key, name in zip(keys, wanted, strict=True)
        ]
    if not found:
        listed = ", ".join(image_tables.NAMES)
        fix = f"add one, with the columns file_name and {wanted[0]}, or give data.values_file=FILE"
        raise Refusal(f"{files.root}: no table says its {wanted[0]} ({listed})", fix)
    for name, key in zip(wanted, keys, strict=True):
        if key not in there:
            others = [column for column in there if column not in image_tables.FILE_COLUMNS]
            raise told_values.unknown(name, others, " and ".join(places))
    none = [float("nan")] * len(wanted)
    rows = [found.get(image, none) for image in files.names]
    return of_words(wanted, rows, " and ".join(places))


def offered(files: Files) -> tuple[str, ...]:
    """The columns of the tables beside images that hold numbers, or nothing, in every row."""
    taken = {*image_tables.FILE_COLUMNS, *image_tables.LABEL_COLUMNS, *texts.KEYS}
    found, says = dict[str, bool](), dict[str, bool]()
    try:
        for _, _, _, cells in image_tables.rows(files):
            for name in cells.keys() - taken:
                says[name] = says.get(name, False) or cells[name] not in (None, "")
                found[name] = found.get(name, True) and _is_number(cells[name])
    except Refusal:
        return ()
    return tuple(sorted(name for name, holds in found.items() if holds and says[name]))


def _is_number(cell: Any) -> bool:
    try:
        number(cell, "")
    except Refusal:
        return False
    return True


def of_rows(
    place: Path, wanted: Sequence[str], values_file: str, count: int, header: Header
) -> Numbers | None:
    """What is told of the rows of a table: some of its own columns, or a file beside it."""
    if values_file:
        return read(values_file, wanted, count)
    return read(str(place), wanted, count, header) if wanted else None


def read(path: str, wanted: Sequence[str], count: int, header: Header = "auto") -> Numbers:
    """The numbers of `count` rows in a file of an array [N, V], or of columns.

    wanted: its columns by name or number; of an array what they are called, if all are.
    """
    file = place(path)
    with array_files.reading(file):
        stored = array_files.array(file)
        if stored is not None:
            numbers = _of_array(file, stored, wanted)
        else:
            with column_files.opened(file) as text:
                numbers = _of_columns(file, text, wanted, header)
    if len(numbers.rows) != count:
        fix = "it needs one for each, in their order"
        raise Refusal(f"{file}: {len(numbers.rows)} rows of numbers for {count} of data", fix)
    return numbers


def _of_array(file: Path, stored: Any, wanted: Sequence[str]) -> Numbers:
    stored = stored[:, None] if stored.ndim == 1 else stored
    if stored.ndim != 2 or not stored.size:
        shown = "x".join(map(str, stored.shape))
        raise Refusal(f"{file}: an array of {shown} values", "numbers of rows are [N, V]")
    rows = torch.from_numpy(np.array(stored, dtype=np.float64))
    if rows.isinf().any():
        at = int(rows.isinf().any(1).nonzero()[0, 0])
        where = row_places.called(file, at)
        raise Refusal(f"{where}: an infinite number", "NaN is one that is not told")
    own = tuple(str(column + 1) for column in range(rows.shape[1]))
    if len(wanted) == len(own) and not all(word in own for word in wanted):
        return Numbers(told_values.checked(wanted), rows, str(file))
    if unknown := next((word for word in wanted if word not in own), None):
        what = f"{file} has {len(own)} columns and no names: data.values names {len(wanted)}"
        raise ConfigError(f"data.values: {unknown!r}: {what}; name all of them, or give numbers")
    names = told_values.checked(wanted) or own
    return Numbers(names, rows[:, [int(name) - 1 for name in names]], str(file))


def _of_columns(file: Path, text: Text, wanted: Sequence[str], header: Header) -> Numbers:
    """Columns of a table of numbers, by their names or places."""
    cells = column_files.first(text, file)
    is_named = column_files.names_columns(text, cells, header)
    names = cells if is_named else None
    chosen = [position(word, names, len(cells), file) for word in wanted] or [*range(len(cells))]
    called = [names[at] if names else str(at + 1) for at in chosen]
    rows = [
        [
            number(row[at], f"{row_places.called(file, line)}, {name}")
            for at, name in zip(chosen, called, strict=True)
        ]
        for line, row in column_files.body(text, file, len(cells), is_named=is_named)
    ]
    return of_words(called, rows, str(file))
