"""Tables that grow a row at a time, whole at any moment: .csv, .tsv, .json, .jsonl or .md."""

import contextlib
import csv
import errno
import io
import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.outputs import targets

try:
    import fcntl
except ImportError:  # Windows: two writers of one table then overwrite each other
    fcntl = None  # type: ignore[assignment]

Value = str | int | float | bool | None
Row = Mapping[str, Value]
SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".md")
SIZE_LIMIT = 2**26  # bytes
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def refuse(path: Path, option: str = "-o") -> None:
    """Refuse a place where no table can be made or continued, before any work is done."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{option} {path}: unknown ending; use {', '.join(SUFFIXES)}")
    targets.refuse_existing(path, True, option)


def read(path: Path, texts: Collection[str]) -> list[dict[str, Value]]:
    """The rows of a table, none of a file that is not there; texts: columns without numbers."""
    if not path.exists():
        return []
    if path.stat().st_size > SIZE_LIMIT:
        raise Refusal(f"{path}: larger than {SIZE_LIMIT} bytes; this is no table of a sweep")
    try:
        content = path.read_text("utf-8-sig")
        rows = _READERS[path.suffix](content)
    except (ValueError, csv.Error, RecursionError):
        raise Refusal(f"{path}: no table, or it is corrupt", "choose another -o") from None
    return [{key: _typed(key, value, texts) for key, value in row.items()} for row in rows]


def write(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table whole; what a row has not is left empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    full = [{column: row.get(column) for column in columns} for row in rows]
    atomic.write(path, _WRITERS[path.suffix](columns, full).encode())


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a table for this process: a second writer is refused; the lock dies with its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = path.with_name(f".{path.name}.lock")
    if fcntl is None:
        yield
        return
    with place.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Refusal(f"{path}: another sweep writes to it", "choose another -o") from None
            console.warn(f"{path}: this file system has no locks: start no second sweep into it")
        if not _is_still(place, lock):  # its owner ended, and took the name along
            raise Refusal(f"{path}: another sweep wrote to it just now", "start again")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                place.unlink()


def _is_still(path: Path, stream: BinaryIO) -> bool:
    """Whether a name is still that of the open file."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(stream.fileno()), path.lstat())
    return False


def text(value: Value) -> str:
    """A value as a table of text shows it; nothing for None."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _typed(key: str, value: Any, texts: Collection[str]) -> Value:
    """A value that was read as what it was written of."""
    if isinstance(value, str) and key not in texts and _NUMBER.fullmatch(value):
        number = float(value)
        return number if {".", "e", "E"} & set(value) or not math.isfinite(number) else int(value)
    if value == "" or not isinstance(value, (str, int, float, bool)):
        return None
    return value


def _separated(content: str, mark: str) -> list[dict[str, str]]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=mark, strict=True)
    return _joined([row for row in reader if row])


def _joined(lines: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """Rows by the names in the first line; ValueError if one has another length."""
    if not lines:
        return []
    return [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]


def _marked(content: str) -> list[dict[str, str]]:
    """The rows of a Markdown table."""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not all(line.startswith("|") and line.endswith("|") for line in lines):
        raise ValueError("no table")
    parts = [re.split(r"(?<!\\)\|", line[1:-1]) for line in lines]
    rows = [[cell.strip().replace("\\|", "|") for cell in row] for row in parts]
    return _joined([row for number, row in enumerate(rows) if number != 1])


def _objects(values: Any) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise ValueError("no rows")
    return values


def _written(columns: Sequence[str], rows: Sequence[Row], mark: str) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=mark, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([text(row[column]) for column in columns] for row in rows)
    return stream.getvalue()


def markdown(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """Rows as a Markdown table, numbers to the right."""
    lines = [[text(row[column]).replace("|", "\\|") for column in columns] for row in rows]
    numeric = [
        all(isinstance(row[c], (int, float, type(None))) for row in rows) and bool(rows)
        for c in columns
    ]
    widths = [max(3, *(len(line[i]) for line in [columns, *lines])) for i in range(len(columns))]
    rules = [
        "-" * (width - right) + ":" * right for width, right in zip(widths, numeric, strict=True)
    ]
    padded = [
        [
            f"{cell:>{width}}" if right else f"{cell:<{width}}"
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        for line in [columns, *lines]
    ]
    every = [padded[0], rules, *padded[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in every)


def _array(columns: Sequence[str], rows: Sequence[Row]) -> str:
    return "[\n" + ",\n".join(map(_line, rows)) + "\n]\n"


def _lines(columns: Sequence[str], rows: Sequence[Row]) -> str:
    return "".join(f"{_line(row)}\n" for row in rows)


def _line(row: Row) -> str:
    return json.dumps(row, allow_nan=False)


_READERS: Mapping[str, Callable[[str], Sequence[Mapping[str, Any]]]] = {
    ".csv": lambda content: _separated(content, ","),
    ".tsv": lambda content: _separated(content, "\t"),
    ".json": lambda content: _objects(json.loads(content)) if content.strip() else [],
    ".jsonl": lambda content: _objects([json.loads(line) for line in content.splitlines()]),
    ".md": _marked,
}
_WRITERS: Mapping[str, Callable[[Sequence[str], Sequence[Row]], str]] = {
    ".csv": lambda columns, rows: _written(columns, rows, ","),
    ".tsv": lambda columns, rows: _written(columns, rows, "\t"),
    ".json": _array,
    ".jsonl": _lines,
    ".md": markdown,
}
