"""Where the files in a tar archive lie, so that each can be read without the others.

Format (POSIX.1-2017, pax; GNU tar's manual, 10.2): blocks of 512 bytes; a header of a file tells
name, size and kind, and its data follow. Headers of two kinds tell of the header behind them.
"""

import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ddpm_cli.data.sources import unreadable

BLOCK = 512
EXTRA_LIMIT = 2**20  # bytes of a name or of other things told of a file
MOST = 50_000_000  # members of an archive
REGULAR, LONG_NAME, LONG_LINK, PAX, PAX_OF_ALL, SPARSE = b"0\x007", b"L", b"K", b"x", b"g", b"S"
WITHOUT_DATA = b"123456"  # links, devices, folders and pipes
CHECKSUM = slice(148, 156)
PREFIXED = b"ustar\0"  # POSIX: long names have a part before their slash


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
        with path.open("rb", buffering=0) as stream:
            fault = _read(stream, os.fstat(stream.fileno()).st_size, members)
    except OSError as error:
        raise unreadable(path, error) from error
    return Index(members, f"{path}: damaged: {fault}" if fault else "")


def _read(stream: BinaryIO, size: int, members: list[Member]) -> str:
    """Collect the files, and say why no more of them could be read."""
    at, told = 0, dict[str, str]()
    while len(members) <= MOST:
        stream.seek(at)
        header = stream.read(BLOCK)
        if not header and members:
            return "cut, the mark of its end is missing"
        if len(header) == BLOCK and not header.strip(b"\0"):
            return ""
        kind, length = header[156:157], _size(header)
        if length is None:
            return "cut within a header" if len(header) < BLOCK else "a damaged header"
        if "size" in told and told["size"].isdecimal():
            length = int(told["size"][:20])
        at += BLOCK
        if kind in WITHOUT_DATA and kind:
            told, length = {}, 0
        elif at + length > size:
            return f"cut within {_name(header, told)}"
        elif kind in (LONG_NAME, LONG_LINK, PAX, PAX_OF_ALL):
            if length > EXTRA_LIMIT:
                return f"a header of {length} bytes"
            told |= _extra(kind, stream.read(length))
        elif kind == SPARSE or "GNU.sparse.major" in told:
            return f"{_name(header, told)} is a sparse file"
        else:
            if kind in REGULAR:
                members.append(Member(_name(header, told), at, length))
            told = {}
        at += -(-length // BLOCK) * BLOCK
    return f"more than the limit of {MOST} files"


def _size(header: bytes) -> int | None:
    """The size that a header tells; None of one that is none."""
    if len(header) < BLOCK:
        return None
    # The sum of all bytes, its own being blanks; old programs counted bytes above 127 below 0.
    total = sum(header) - sum(header[CHECKSUM]) + 8 * 32
    claimed = _number(header[CHECKSUM])
    signed = total - 256 * sum(byte > 127 for byte in header) if claimed != total else total
    return _number(header[124:136]) if claimed in (total, signed) else None


def _number(field: bytes) -> int | None:
    """A number in octal digits, or in bytes behind one with its highest bit."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8) if b"-" not in digits and b"_" not in digits else None
    except ValueError:
        return None


def _name(header: bytes, told: dict[str, str]) -> str:
    if "path" in told:
        return told["path"]
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == PREFIXED else b""
    return os.fsdecode(prefix + b"/" + name if prefix else name)


def _extra(kind: bytes, data: bytes) -> dict[str, str]:
    """What is told of the next file: its name, or records LENGTH KEY=VALUE of pax."""
    if kind == LONG_NAME:
        return {"path": os.fsdecode(data.partition(b"\0")[0])}
    found: dict[str, str] = {}
    while kind == PAX and data:
        length, _, rest = data.partition(b" ")
        count = int(length) if length.isdigit() and len(length) < 8 else 0
        key, sign, value = rest[: count - len(length) - 2].partition(b"=")
        if not sign or count > len(data):
            break
        found[os.fsdecode(key)] = os.fsdecode(value)
        data = data[count:]
    return found
