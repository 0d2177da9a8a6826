"""Where the files in a tar archive lie, so that each can be read without the others."""

import os
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ddpm_cli.data.sources import unreadable

HEADER_LIMIT = 2**20  # bytes of a name or of other extended headers
MOST = 50_000_000  # members of an archive
SPAN = 4096  # members whose headers are kept at a time
# What tarfile raises on headers that are none.
DAMAGE = (tarfile.TarError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError)


class Member(NamedTuple):
    """A regular file in an archive."""

    name: str
    offset: int
    size: int


class Index(NamedTuple):
    """The files of an archive in its order; fault: why it ends before its end, if it does."""

    members: list[Member]
    fault: str = ""


def index(path: Path) -> Index:
    """Read the headers of an archive, and nothing else of it."""
    members: list[Member] = []
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            fault = _read(_Bounded(stream, size), members)
    except OSError as error:
        raise unreadable(path, error) from error
    except DAMAGE as error:
        fault = (str(error).splitlines() or [""])[0] or "a damaged header"
    return Index(members, f"{path}: damaged: {fault}" if fault else "")


class _Bounded:
    """A stream of which no header can take more than its limit."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self.size = stream, size
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= HEADER_LIMIT:
            raise ValueError(f"a header of {count} bytes")
        return self._stream.read(count)


def _read(stream: _Bounded, members: list[Member]) -> str:
    """Collect the files, and say why no more of them could be read."""
    archive: Any = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]
    end = 0
    while (found := archive.next()) is not None:
        if found.size < 0 or found.offset_data <= end:
            return f"{found.name} begins before the file ahead of it ends"
        end = found.offset_data
        if found.isreg() and not found.issparse():
            if found.offset_data + found.size > stream.size:
                return f"cut within {found.name}"
            members.append(Member(found.name, found.offset_data, found.size))
        if len(members) > MOST:
            return f"more than the limit of {MOST} files"
        if len(archive.members) > SPAN:
            archive.members.clear()
    # tarfile takes a damaged header for the end, which is a block of zeros, or of the file.
    stream.seek(archive.offset)
    rest = stream.read(tarfile.BLOCKSIZE)
    if not rest:
        return "cut, the mark of its end is missing"
    return "a damaged header" if rest.strip(b"\0") else ""
