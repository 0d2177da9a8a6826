"""Classes from a table: their order, and the CSV file that says which image has which class."""

import csv
import io
import math
import shlex
from collections.abc import Collection, Iterator, Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor

from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

NAMES = ("labels.csv", "metadata.csv")
FILE_COLUMNS = ("file", "file_name")
LABEL_COLUMNS = ("label", "class")
CLASS_LIMIT = 10000
SHOWN = 60  # letters of a cell in a message


def numbered(words: Sequence[str], place: object) -> tuple[Tensor, tuple[str, ...]]:
    """The number of each row's class, and the classes: in the order of numbers, or of letters."""
    classes = set(words)
    if len(classes) > CLASS_LIMIT:
        raise Refusal(f"{place}: {len(classes)} classes; at most {CLASS_LIMIT}")
    ordered = in_order(classes)
    places = {word: number for number, word in enumerate(ordered)}
    return torch.tensor([places[word] for word in words]), ordered


def in_order(classes: Collection[str]) -> tuple[str, ...]:
    """The names of classes in the order of numbers, if they all are some, or else of letters.

    The place in it is the number of a class, whether folders, tables or arrays name it.
    """
    as_numbers = all(map(is_number, classes))
    return tuple(sorted(classes, key=lambda word: (float(word) if as_numbers else 0.0, word)))


def is_number(cell: str) -> bool:
    """Whether a cell of a table, or the name of a class, is a finite number as people write it."""
    try:
        return "_" not in cell and math.isfinite(float(cell))  # Python alone reads 1_000
    except ValueError:
        return False


def read(files: Files) -> tuple[dict[str, int], tuple[str, ...]]:
    """The number of the class of every image, by its name, and the classes.

    They come from a file labels.csv or metadata.csv beside the images, whose first line names
    its columns: file or file_name, relative to the CSV file, and label or class. Each image has
    one row.
    """
    folder, name, data = _find(files)
    place = files.place(folder + name)
    table: dict[str, tuple[int, str]] = {}
    known = set(files.names)
    for line, cell, label in _rows(data, place):
        image = folder + PurePosixPath(cell).as_posix()
        if image not in known:
            fix = "names are relative to the CSV file"
            raise Refusal(f"{place}: line {line}: {cell[:SHOWN]!r} is none of the images; {fix}")
        if image in table:
            what = f"{cell[:SHOWN]!r} again, it is in line {table[image][0]}"
            raise Refusal(f"{place}: line {line}: {what}", "keep one row for each image")
        table[image] = line, label
    without = [image for image in files.names if image not in table]
    if without:
        what = f"{place}: no row for {files.place(without[0])}"
        rest = f"{len(without)} of {len(files.names)} images have none"
        raise Refusal(what, rest, "Add rows, or remove these images.")
    numbers, classes = numbered([table[image][1] for image in files.names], place)
    return dict(zip(files.names, numbers.tolist(), strict=True)), classes


def _find(files: Files) -> tuple[str, str, bytes]:
    """The CSV file in the outermost folder that has one: its folder, its name, its bytes."""
    parts = PurePosixPath(files.names[0]).parts[:-1]
    for depth in range(len(parts) + 1):
        folder = "".join(f"{part}/" for part in parts[:depth])
        if not all(name.startswith(folder) for name in files.names):
            break
        beside = [(name, files.beside(folder + name)) for name in NAMES]
        there = [(name, data) for name, data in beside if data is not None]
        if len(there) > 1:
            raise Refusal(f"{files.root}: {' and '.join(NAMES)} are in it; remove one of them")
        if there:
            return folder, *there[0]
    fix = "Add it, with the columns file and label, or set data.labels=folders."
    raise Refusal(f"{files.root}: neither {' nor '.join(NAMES)} lies above all its images", fix)


def _rows(data: bytes, place: str) -> Iterator[tuple[int, str, str]]:
    """The number of the line, the image and the class of each row."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        convert = f"iconv -f cp1252 -t utf-8 {shlex.quote(place)} > utf8.csv"
        fix = f"save it in UTF-8; if it is from Windows: {convert}"
        raise Refusal(f"{place}: line {line}: not UTF-8 text", fix) from None
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [cell.strip().lower() for cell in next(reader, [])]
        file, label = (_column(names, wanted, place) for wanted in (FILE_COLUMNS, LABEL_COLUMNS))
        for row in reader:
            cells = [cell.strip() for cell in row]
            where = f"{place}: line {reader.line_num}"
            if not any(cells):
                continue
            if len(cells) != len(names):
                raise Refusal(f"{where}: {len(cells)} values, expected {len(names)}")
            if not cells[label]:
                raise Refusal(f"{where}: no {names[label]}; every image needs one")
            yield reader.line_num, cells[file], cells[label]
    except csv.Error as error:
        raise Refusal(f"{place}: line {reader.line_num}: {error}") from None


def _column(names: list[str], wanted: tuple[str, ...], place: str) -> int:
    columns = [number for number, name in enumerate(names) if name in wanted]
    if len(columns) != 1:
        many = "more than one column" if columns else "no column"
        fix = "the first line names the columns"
        raise Refusal(f"{place}: line 1: {many} named {' or '.join(wanted)}; {fix}")
    return columns[0]
