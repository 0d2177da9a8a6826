"""The arrays in a .npz file, mapped into memory where they are stored as they are."""

import re
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from ddpm_cli import streams
from ddpm_cli.errors import Refusal

UNREADABLE = "copy or download it again"
_PLAIN = re.compile(r"[\w./ +@,:-]+")  # nothing of it means anything to a shell within quotes
LOCAL = 30  # bytes of the header before an entry, without its two texts


class Entries:
    """The arrays of a .npz file by their names; nothing in them is ever unpickled.

    What is compressed is read at once, up to a limit of bytes.
    """

    def __init__(self, path: Path, limit: int) -> None:
        """List them; limit: bytes of what is compressed."""
        self.path, self._limit = path, limit
        streams.refuse_special(path)
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}
        self.names = tuple(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array, from its header alone."""
        with zipfile.ZipFile(self.path) as archive, archive.open(self._entries[name]) as stream:
            return self._header(stream, name)[0]

    def read(self, name: str) -> Any:
        """An array, which is not in memory if it is stored as it is."""
        entry = self._entries[name]
        with zipfile.ZipFile(self.path) as archive, archive.open(entry) as stream:
            shape, is_turned, dtype = self._header(stream, name)
            begins = stream.tell()
            order: Literal["C", "F"] = "F" if is_turned else "C"
            if entry.compress_type == zipfile.ZIP_STORED and 0 not in shape and shape:
                return self._mapped(entry, begins, shape, order, dtype)
            size = int(np.prod(shape, dtype=object)) * dtype.itemsize
            if size > self._limit:
                raise self._too_large(name, size)
            if begins + size > entry.file_size:
                raise Refusal(f"{self.path}: {name}: cut", UNREADABLE)
            data = bytearray(stream.read(size))
        if len(data) != size:
            raise Refusal(f"{self.path}: {name}: cut", UNREADABLE)
        return np.frombuffer(data, dtype).reshape(shape, order=order)

    def _header(self, stream: Any, name: str) -> tuple[tuple[int, ...], bool, Any]:
        """Shape, whether the first axis is the fastest, and type of an array."""
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }.get(version)
        if read is None:
            raise ValueError(f"version {version}")
        shape, is_turned, dtype = read(stream)
        if dtype.hasobject:
            why = "pickled objects are never read"
            raise Refusal(f"{self.path}: {name}: {why}", UNREADABLE)
        if min(shape, default=0) < 0:
            raise ValueError("a negative shape")
        return shape, is_turned, dtype

    def _mapped(
        self, entry: zipfile.ZipInfo, begins: int, shape: tuple[int, ...], order: str, dtype: Any
    ) -> Any:
        """An array whose bytes are those of the file, from where the entry lies in it."""
        with self.path.open("rb") as stream:
            offset = begins + _start(stream, entry)
            end = stream.seek(0, 2)
        size = int(np.prod(shape, dtype=object)) * dtype.itemsize
        if offset + size > end or begins + size > entry.file_size:
            raise Refusal(f"{self.path}: cut", UNREADABLE)
        return np.memmap(self.path, dtype, "r", offset, shape, order=order)  # type: ignore[call-overload]

    def _too_large(self, name: str, size: int) -> Refusal:
        what = f"{self.path}: {name} takes {size >> 20} MiB of memory, as it is compressed"
        shown = str(self.path) if _PLAIN.fullmatch(str(self.path)) else "FILE.npz"
        save = f"import numpy; numpy.savez('plain.npz', **numpy.load('{shown}'))"
        fix = f'Save it as it is: python -c "{save}"'
        mebibytes = -(-size >> 20)
        return Refusal(what, f"{fix}, or --set data.memory={mebibytes}")


def _start(stream: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry begin in a zip file."""
    stream.seek(entry.header_offset)
    header = stream.read(LOCAL)
    if len(header) < LOCAL or header[:4] != b"PK\3\4":
        raise zipfile.BadZipFile("no header where an entry begins")
    texts = sum(int.from_bytes(header[at : at + 2], "little") for at in (26, 28))
    return entry.header_offset + LOCAL + texts
