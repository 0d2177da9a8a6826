"""Tables beside images that say the class and the text of each: CSV files, or JSON lines."""

import csv
import io
import json
import shlex
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from ddpm_cli.data import texts
from ddpm_cli.data.class_tables import numbered
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal, many

NAMES = ("labels.csv", "metadata.csv", "metadata.jsonl")
FILE_COLUMNS = ("file", "file_name")
LABEL_COLUMNS = ("label", "class")
SHOWN = 60  # letters of a cell in a message
WITHOUT = "--set data.labels=folders reads no table"

Columns = tuple[str | None, ...]  # of the file, the label and the text
_Cells = Mapping[str, Any]


class _Row(NamedTuple):
    """What a line of a table says of an image."""

    where: str
    label: str
    text: str


class _Table(NamedTuple):
    """A table below the root of a set: its folder, its name and its bytes."""

    folder: str
    name: str
    data: bytes
    place: str

    def lines(self) -> Iterator[tuple[int, _Cells]]:
        """The number of each line and its cells by the names of their columns, in small letters.

        The first one of a CSV file, whose columns must be told once, are the names themselves.
        """
        text = _decoded(self.data, self.place)
        read = _of_json_lines if self.name.endswith(".jsonl") else _of_csv
        return read(text, self.place)


def texts_alone(files: Files) -> Told:
    """What tables say of images beside their classes; one that cannot be read is told of."""
    try:
        told = _read(files, needed=False) or Told()
    except Refusal as refusal:
        why, *_ = refusal.message.splitlines()
        return Told(notes=(f"{why}; so its texts are not read",))
    return Told(text=told.text, notes=told.notes)


def read(files: Files, *, needed: bool) -> Told | None:
    """What the tables of a set say of all its images, each of which has one row in one of them.

    Tables name images by their places relative to themselves, in a column file or file_name. They
    lie in any folder above images. needed: they were asked for; else what has no column of
    images is left alone, and None is the answer of a set where nothing is said.
    """
    try:
        return _read(files, needed)
    except Refusal as refusal:
        if needed:
            raise
        what, *why = refusal.message.splitlines()
        raise Refusal(what, *why[:1], WITHOUT) from None


def _read(files: Files, needed: bool) -> Told | None:
    found, notes = [], []
    for table in _find(files):
        if not needed and (lacks := _lacking(table)):
            notes.append(f"{table.place}: {lacks}")
        else:
            found.append(table)
    if not found:
        return _nothing(files, notes, needed)
    _refuse_twins(files, found)
    rows: dict[str, _Row] = {}
    for table in found:
        _add(table, rows, set(files.names), needed)
    return _told(files, found, rows, notes, needed)


def _nothing(files: Files, notes: list[str], needed: bool) -> Told | None:
    """What there is to say of a set without a table."""
    if not needed:
        return Told(notes=tuple(notes)) if notes else None
    what = f"neither {' nor '.join(NAMES[:2])} lies above all its images, nor {NAMES[2]}"
    fix = "Add it, with the columns file and label, or set data.labels=folders."
    raise Refusal(f"{files.root}: {what}", fix)


def _told(
    files: Files, found: list[_Table], rows: dict[str, _Row], notes: list[str], needed: bool
) -> Told:
    """Number the classes of all rows."""
    origin = " and ".join(sorted({table.name for table in found}))
    written = {name: row.text for name, row in rows.items() if row.text}
    text = written.get if written else None
    if not needed and not any(row.label for row in rows.values()):
        return Told({}, None, text, origin, tuple(notes))
    without = [image for image in files.names if image not in rows]
    if without:
        what = f"{found[0].place}: no row for {files.place(without[0])}"
        rest = f"{len(without)} of {len(files.names)} images have none"
        raise Refusal(what, rest, "Add rows, or remove these images.")
    for row in rows.values():
        if not row.label:
            raise Refusal(f"{row.where}: no label; every image needs one")
    numbers, classes = numbered([rows[image].label for image in files.names], found[0].place)
    by_name = dict(zip(files.names, numbers.tolist(), strict=True))
    return Told(by_name, classes, text, origin, tuple(notes))


def _find(files: Files) -> Iterator[_Table]:
    """The tables in all folders that have images below them, outermost first."""
    folders = {"": None}
    for name in files.names:
        parts = name.split("/")[:-1]
        folders |= {"/".join([*parts[:depth], ""]): None for depth in range(1, len(parts) + 1)}
    for folder in folders:
        for name in NAMES:
            data = files.beside(folder + name)
            if data is not None:
                yield _Table(folder, name, data, files.place(folder + name))


def _refuse_twins(files: Files, found: list[_Table]) -> None:
    """Refuse two tables in one folder: which of them is true?"""
    for one, other in pairwise(found):
        if one.folder == other.folder:
            where = files.place(one.folder).rstrip("/") if one.folder else files.root
            what = f"{one.name} and {other.name} are in it; remove one of them"
            raise Refusal(f"{where}: {what}")


def _lacking(table: _Table) -> str:
    """Which columns a table lacks to say what images are, and what of that; nothing if none."""
    names = {*next((cells for _, cells in table.lines()), {})}
    if not names & {*FILE_COLUMNS}:
        return f"no column named {' or '.join(FILE_COLUMNS)}, so it is not read"
    if not names & {*LABEL_COLUMNS, *texts.KEYS}:
        listed = " or ".join((*LABEL_COLUMNS, *texts.KEYS))
        return f"no column named {listed}, so it tells no classes and no texts"
    return ""


def _add(table: _Table, rows: dict[str, _Row], known: set[str], needed: bool) -> None:
    """Add what each line of a table says of its image."""
    is_labelled = False
    for line, cells in table.lines():
        where = f"{table.place}: line {line}"
        file = _column(cells, FILE_COLUMNS, where)
        label = _column(cells, LABEL_COLUMNS, where, needed=needed)
        text = _column(cells, texts.KEYS, where, needed=False)
        if cells.get(_HEADER):
            is_labelled = label is not None
            continue
        name = _word(cells[file or ""], where)
        image = table.folder + PurePosixPath(name).as_posix()
        if image not in known:
            fix = f"names are relative to {table.name}"
            raise Refusal(f"{where}: {name[:SHOWN]!r} is none of the images; {fix}")
        if image in rows:
            earlier = rows[image].where.removeprefix(f"{table.place}: ")
            what = f"{name[:SHOWN]!r} again, it is in {earlier}"
            raise Refusal(f"{where}: {what}", "keep one row for each image")
        told = _word(cells[label], where) if label is not None else ""
        if (needed or is_labelled) and not told:
            raise Refusal(f"{where}: no {label or 'label'}; every image needs one")
        rows[image] = _Row(where, told, _text(cells[text], where) if text is not None else "")


_HEADER = "\0"  # a column of the line that names the columns


def rows(files: Files) -> Iterator[tuple[str, str, str, _Cells]]:
    """Each row of all tables that name images: its table, its line, its image and its cells."""
    known, seen = set(files.names), set[str]()
    for table in _find(files):
        for line, cells in table.lines():
            file = _column(cells, FILE_COLUMNS, "", needed=False)
            if cells.get(_HEADER) or file is None:
                continue
            where = f"{table.place}: line {line}"
            image = table.folder + PurePosixPath(name := _word(cells[file], where)).as_posix()
            if image not in known or image in seen:
                what = "again" if image in known else "is none of the images"
                raise Refusal(f"{where}: {name[:SHOWN]!r} {what}", "keep one row for each image")
            seen.add(image)
            yield table.place, where, image, cells


def _of_csv(text: str, place: str) -> Iterator[tuple[int, _Cells]]:
    """The lines of a table whose cells stand between commas, semicolons or tabs."""
    first = text.splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [cell.strip().lower() for cell in next(reader, [])]
        _refuse_double(names, place)
        yield 1, {**dict.fromkeys(names, ""), _HEADER: True}
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if len(cells) != len(names):
                where = f"{place}: line {reader.line_num}"
                raise Refusal(f"{where}: {many(len(cells), 'values')}, expected {len(names)}")
            yield reader.line_num, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise Refusal(f"{place}: line {reader.line_num}: {error}") from None


def _of_json_lines(text: str, place: str) -> Iterator[tuple[int, _Cells]]:
    """The objects of a file that has one in each line."""
    for line, written in enumerate(text.split("\n"), 1):
        if not written.strip():
            continue
        try:
            cells = json.loads(written)
        except (ValueError, RecursionError):
            cells = None
        if not isinstance(cells, dict):
            raise Refusal(f"{place}: line {line}: no JSON object", "each line is one: {...}")
        yield line, {key.lower(): value for key, value in cells.items()}


def _decoded(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        convert = f"iconv -f cp1252 -t utf-8 {shlex.quote(place)} > utf8.csv"
        fix = f"save it in UTF-8; if it is from Windows: {convert}"
        raise Refusal(f"{place}: line {line}: not UTF-8 text", fix) from None


def _refuse_double(names: list[str], place: str) -> None:
    """Refuse columns of which one alone can count."""
    for wanted in (FILE_COLUMNS, LABEL_COLUMNS, texts.KEYS[:1]):
        if sum(name in wanted for name in names) > 1:
            raise _unnamed("more than one column", wanted, f"{place}: line 1")


def _column(
    cells: _Cells, wanted: tuple[str, ...], where: str, *, needed: bool = True
) -> str | None:
    """The first of the columns that are wanted."""
    found = next((name for name in wanted if name in cells), None)
    if found is None and needed:
        raise _unnamed("no column", wanted, where)
    return found


def _unnamed(what: str, wanted: tuple[str, ...], where: str) -> Refusal:
    fix = "the first line names the columns" if where.endswith("line 1") else "every line has it"
    return Refusal(f"{where}: {what} named {' or '.join(wanted)}; {fix}")


def _text(cell: Any, where: str) -> str:
    """A cell as a text: a list of words and sentences is one of several captions."""
    return texts.of(cell) or _word(cell, where)


def _word(cell: Any, where: str) -> str:
    """A cell as a word: numbers as they are written, nothing of what is not there."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, (str, int, float)):
        return str(cell).strip()
    shown = json.dumps(cell)[:SHOWN]
    raise Refusal(f"{where}: {shown} is neither a word nor a number")
