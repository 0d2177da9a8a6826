"""Images in Parquet files, as of Hugging Face data sets, read by row groups as needed."""

import io
import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data import own_classes, shards, texts, told_values
from ddpm_cli.data.forms import PARQUET
from ddpm_cli.data.own_classes import Told, Word
from ddpm_cli.data.parquet_columns import Columns, columns_of
from ddpm_cli.data.shards import Shard
from ddpm_cli.data.sources import refuse_large
from ddpm_cli.data.told_values import number
from ddpm_cli.errors import ConfigError, Refusal, importing

EXTRA = "parquet"
OLDEST = 15  # release of pyarrow: before, files could name Python code that was run
GROUP_LIMIT = 2**32  # bytes of a row group
HELD = 2**28  # bytes of row groups that a process keeps
WIDTH = 9  # digits of a row's number in its name
BATCH = 65536  # rows whose classes are read at once


class Part(NamedTuple):
    """One file of a set: where each of its row groups ends; fault: why it cannot be read."""

    shard: Shard
    ends: tuple[int, ...] = ()
    columns: Columns = Columns("")
    fault: str = ""

    @property
    def rows(self) -> int:
        """How many images it holds."""
        return self.ends[-1] if self.ends else 0


class Parquet:
    """The images in the rows of Parquet files, named SHARD/ROW.

    It can be sent or forked to worker processes: each opens the files for itself.
    """

    def __init__(self, path: Path, image: str = "", label: str = "", text: str = "") -> None:
        """Read what files say of their rows; image, label, text: columns, "" for usual ones."""
        refuse_without_arrow()
        self.root, self._asked = path, (image, label, text)
        self._forget()
        parts = {shard.path: self._part(shard) for shard in shards.found(path, PARQUET)}

        def is_hidden(shard: Shard) -> bool:
            return all(word is None for word in self._words(parts[shard.path]))

        self._faults = [part.fault for part in parts.values() if part.fault]
        kept = shards.split([part.shard for part in parts.values() if part.rows], is_hidden)
        self._parts = {shard.name: parts[shard.path]._replace(shard=shard) for shard in kept}
        self.names = tuple(
            f"{name}/{row:0{WIDTH}}"
            for name, part in self._parts.items()
            for row in range(part.rows)
        )
        if not self.names:
            raise Refusal(*(self._faults or [f"{path}: no rows in it"])[0].splitlines())

    def open(self, name: str) -> BinaryIO:
        """Give one image file, from its row group."""
        part, row = self._row(name)
        value = self._value(part, row, part.columns.image)
        if value is None:
            why = "no bytes, as in files that only say where their images were"
            raise Refusal(f"{self.place(name)}: {why}")
        refuse_large(self.place(name), len(value))
        return io.BytesIO(value)

    def place(self, name: str) -> str:
        """Say where one image is, for messages."""
        part, row = self._row(name)
        return f"{part.shard.path}: row {row}"

    def beside(self, name: str) -> bytes | None:
        """Nothing lies beside the rows."""
        return None

    def text(self, name: str) -> str | None:
        """The text of an image, if there is a column of texts."""
        part, row = self._row(name)
        if part.columns.text is None:
            return None
        value = self._value(part, row, part.columns.text)
        return texts.of(value)

    def told(self, *, classes: bool = True) -> Told:
        """What the files say of the images: with classes, the column that holds them."""
        found = self._classes() if classes else Told()
        has_texts = any(part.columns.text for part in self._parts.values())
        text = self.text if has_texts else None
        return found._replace(text=text, faults=tuple(self._faults), values=self.values)

    def values(self, wanted: Sequence[str]) -> Tensor:
        """Columns of numbers by name, of all rows: float64 [N, V]."""
        columns = [list[float]() for _ in wanted]
        for part in self._parts.values():
            path, first = part.shard.path, len(columns[0])
            there = self._file(path).schema_arrow.names
            if missing := next((name for name in wanted if name not in there), None):
                raise told_values.unknown(missing, there, path)
            for cells, name in zip(columns, wanted, strict=True):
                said = enumerate(self._cells(part, name))
                cells += (number(cell, f"{path}: row {row}, {name}") for row, cell in said)
            if any(len(cells) != first + part.rows for cells in columns):
                error = ValueError("columns of several lengths")
                raise shards.refuse_other(path, error, PARQUET)
        return torch.tensor(columns, dtype=torch.float64).T

    def _classes(self) -> Told:
        columns = [part.columns for part in self._parts.values()]
        if len({(each.label, each.classes) for each in columns}) > 1:
            why = "its files have other columns of classes, or name them differently"
            raise Refusal(f"{self.root}: {why}", "--set data.labels=none trains without classes")
        words = chain.from_iterable(map(self._words, self._parts.values()))
        found = own_classes.told(self, words, columns[0].classes)
        return found._replace(origin=f"the column {columns[0].label}")

    def _row(self, name: str) -> tuple[Part, int]:
        shard, _, row = name.rpartition("/")
        return self._parts[shard], int(row)

    def _part(self, shard: Shard) -> Part:
        """What a file says of itself."""
        try:
            file = self._file(shard.path)
            columns = columns_of(shard.path, file.schema_arrow, *self._asked)
            groups = range(file.metadata.num_row_groups)
            counts = [file.metadata.row_group(number).num_rows for number in groups]
            if min(counts, default=0) < 0:
                raise ValueError("a row group of less than no rows")
        except (Refusal, ConfigError):
            raise
        except Exception as error:  # whatever Arrow raises on damage
            if not PARQUET.begins(shard.path):
                raise shards.refuse_other(shard.path, error, PARQUET) from error
            return Part(shard, fault=shards.refuse_other(shard.path, error, PARQUET).message)
        return Part(shard, tuple(accumulate(counts)), columns)

    def _words(self, part: Part) -> Iterator[Word]:
        """The class of each row; None where there is none, as -1 says where they are hidden."""
        if part.columns.label is None:
            yield from [None] * part.rows
            return
        label, is_listed = part.columns.label, part.columns.classes is not None
        for value in self._cells(part, label):
            yield _word(value, is_listed)

    def _cells(self, part: Part, column: str) -> Iterator[Any]:
        """What each row of a file holds in a column."""
        try:
            file = self._file(part.shard.path)
            for batch in file.iter_batches(BATCH, columns=[column], use_threads=False):
                yield from batch.column(0).to_pylist()
        except Exception as error:
            raise shards.refuse_other(part.shard.path, error, PARQUET) from error

    def _value(self, part: Part, row: int, column: str) -> Any:
        group = bisect_right(part.ends, row)
        start = part.ends[group - 1] if group else 0
        self._refresh()
        with self._lock:
            values = self._column(part, group, column)
        try:
            return values[row - start].as_py()
        except Exception as error:  # fewer values than rows, or texts that are none
            raise shards.refuse_other(part.shard.path, error, PARQUET) from error

    def _column(self, part: Part, group: int, column: str) -> Any:
        """A column of a row group; the last ones that fit stay."""
        key = part.shard.path, group, column
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        try:
            file = self._file(part.shard.path)
            self._accept(file.metadata.row_group(group).total_byte_size, part, group)
            table = file.read_row_group(group, columns=[column], use_threads=False)
            values = table.flatten().column(0) if "." in column else table.column(0)
        except Refusal:
            raise
        except Exception as error:
            raise shards.refuse_other(part.shard.path, error, PARQUET) from error
        while self._held and self._size + values.nbytes > HELD:
            self._size -= self._held.popitem(last=False)[1].nbytes
        self._held[key] = values
        self._size += values.nbytes
        return values

    def _accept(self, size: int, part: Part, group: int) -> None:
        """Refuse a row group that takes too much memory at once."""
        if size > GROUP_LIMIT:
            what = f"{part.shard.path}: row group {group} has {size} bytes"
            fix = "write smaller ones: row_group_size=100 of pyarrow.parquet.write_table"
            raise Refusal(f"{what}; the limit is {GROUP_LIMIT}", fix)

    def _file(self, path: Path) -> Any:
        """A file, opened once a process: a forked handle would share its position."""
        import pyarrow.parquet as parquet

        self._refresh()
        if path not in self._files:
            while len(self._files) >= 64:
                self._files.popitem(last=False)[1].close()
            self._files[path] = parquet.ParquetFile(path, pre_buffer=False)
        return self._files[path]

    def _refresh(self) -> None:
        if self._process != os.getpid():
            self._forget()

    def _forget(self) -> None:
        self._process, self._lock, self._size = os.getpid(), threading.Lock(), 0
        self._files: OrderedDict[Path, Any] = OrderedDict()
        self._held: OrderedDict[tuple[Path, int, str], Any] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        own = {"_lock": None, "_files": None, "_held": None, "_process": 0}
        return {**self.__dict__, **own}


def _word(value: Any, is_listed: bool) -> Word:
    """The class that a cell says; numbers below 0 stand for none."""
    if value is None or (isinstance(value, int) and value < 0):
        return None
    return value if is_listed else str(value)


def refuse_without_arrow() -> None:
    """Say at once that pyarrow is missing, or older than what may read files of others."""
    with importing("pyarrow", EXTRA):
        import pyarrow
        import pyarrow.parquet
    if int(pyarrow.__version__.partition(".")[0]) < OLDEST:
        fix = f"type: pip install 'ddpm-cli[{EXTRA}]'"
        raise Refusal(
            f"pyarrow {pyarrow.__version__} is too old, and may run what a file says", fix
        )
