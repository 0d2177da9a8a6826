"""Numbers of the rows of a set in a file beside it: a table, or an array with as many rows."""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddpm_cli.data import array_faults, image_tables, texts, told_values
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.places import place
from ddpm_cli.data.sources import Files
from ddpm_cli.data.told_values import Numbers, number, of_words, position
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.titles import is_number

BYTE_LIMIT = 2**31


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
    place: Path, wanted: Sequence[str], values_file: str, count: int, header: str
) -> Numbers | None:
    """What is told of the rows of a table: some of its own columns, or a file beside it."""
    if values_file:
        return read(values_file, wanted, count)
    return read(str(place), wanted, count, header) if wanted else None


def read(path: str, wanted: Sequence[str], count: int, header: str = "auto") -> Numbers:
    """The numbers of `count` rows in a .npy file [N, V] or a .csv file.

    wanted: its columns by name or number; of a .npy file what they are called, if all are.
    """
    file = place(path)
    try:
        if not file.is_file():
            raise array_faults.no_file(file)
        if file.stat().st_size > BYTE_LIMIT:
            raise Refusal(f"{file}: larger than the limit of {BYTE_LIMIT} bytes")
        if file.suffix.lower() not in (".npy", ".csv"):
            raise array_faults.unknown_ending(file)
        array_faults.refuse_foreign(file)
        is_array = file.suffix.lower() == ".npy"
        numbers = _of_npy(file, wanted) if is_array else _of_csv(file, wanted, header)
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror or error}") from error
    if len(numbers.rows) != count:
        fix = "it needs one for each, in their order"
        raise Refusal(f"{file}: {len(numbers.rows)} rows of numbers for {count} of data", fix)
    return numbers


def _of_npy(file: Path, wanted: Sequence[str]) -> Numbers:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stored = np.load(file, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        why = "no readable .npy file"
        raise Refusal(f"{file}: {why}", array_faults.UNREADABLE) from error
    if stored.dtype.kind not in "biuf":
        raise array_faults.no_numbers(file, stored)
    stored = stored[:, None] if stored.ndim == 1 else stored
    if stored.ndim != 2 or not stored.size:
        shown = "x".join(map(str, stored.shape))
        raise Refusal(f"{file}: an array of {shown} values", "numbers of rows are [N, V]")
    rows = torch.from_numpy(np.array(stored, dtype=np.float64))
    if rows.isinf().any():
        at = int(rows.isinf().any(1).nonzero()[0, 0])
        raise Refusal(f"{file}: row {at + 1}: an infinite number", "NaN is one that is not told")
    own = tuple(str(column + 1) for column in range(rows.shape[1]))
    if len(wanted) == len(own) and not all(word in own for word in wanted):
        return Numbers(told_values.checked(wanted), rows, str(file))
    if unknown := next((word for word in wanted if word not in own), None):
        what = f"{file} has {len(own)} columns and no names: data.values names {len(wanted)}"
        raise ConfigError(f"data.values: {unknown!r}: {what}; name all of them, or give numbers")
    names = told_values.checked(wanted) or own
    return Numbers(names, rows[:, [int(name) - 1 for name in names]], str(file))


def _of_csv(file: Path, wanted: Sequence[str], header: str) -> Numbers:
    """Columns of a table of numbers, separated by commas, semicolons or tabs.

    header: whether the first line names them; auto if it holds no number.
    """
    with file.open(encoding="utf-8-sig", newline="") as stream:
        try:
            start = stream.read(2**16)
            first = start.splitlines()[0] if start.strip() else ""
            stream.seek(0)
            reader = csv.reader(stream, delimiter=max(",;\t", key=first.count))
            lines = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
        except UnicodeDecodeError:
            raise array_faults.not_utf8(file) from None
        except csv.Error as error:
            raise Refusal(f"{file}: line {reader.line_num}: {error}") from None
    if not lines:
        raise Refusal(f"{file}: it holds nothing")
    cells = [cell.strip() for cell in lines[0][1]]
    is_named = header == "yes" or (header == "auto" and not any(map(is_number, cells)))
    names = cells if is_named else None
    chosen = [position(word, names, len(cells), file) for word in wanted] or [*range(len(cells))]
    called = [names[at] if names else str(at + 1) for at in chosen]
    rows = []
    for line, row in lines[is_named:]:
        if len(row) != len(cells):
            raise Refusal(f"{file}: line {line}: {len(row)} values, expected {len(cells)}")
        rows.append(
            [
                number(row[at], f"{file}: line {line}, {name}")
                for at, name in zip(chosen, called, strict=True)
            ]
        )
    return of_words(called, rows, str(file))
