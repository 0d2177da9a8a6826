"""Where the values of an LMDB lie, read from its tree of pages without trusting it.

LMDB itself maps a file into memory and believes it, so that damage ends the process. Format (Chu
2011, lmdb.h and mdb.c of version 0.9, on machines of 64 bits): pages of one size, of which the
first two tell the root of a B+tree; branches have numbers of pages, leaves values, or the first of
the pages that a long value takes.
"""

import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

from ddpm_cli.data.pieces import Piece
from ddpm_cli.data.sources import unreadable

MAGIC = b"\xde\xc0\xef\xbe\x01\0\0\0"  # the number of the format, and its version
MAGIC_AT = 16
HEADER = 16  # bytes of a page before its own
META = struct.Struct("<I4xQQIHHQQQQQIHHQQQQQQQ")
NODE = struct.Struct("<HHHH")
BRANCH, LEAF, OVERFLOW = 1, 2, 4  # kinds of pages
LONG, NESTED = 1, 6  # kinds of values
DEEPEST = 64
NOWHERE = 2**64 - 1


class Index(NamedTuple):
    """The values by their keys, in the order of keys; fault: why some may be missing."""

    pieces: dict[bytes, Piece]
    fault: str = ""


class _Damage(Exception):
    """What is wrong with the pages."""


def index(path: Path) -> Index:
    """Find all values of the main table of an LMDB."""
    pieces: dict[bytes, Piece] = {}
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size < 2 * META.size:
                return Index(pieces, "too short")
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _walk(_Pages(path, data, size), pieces)
    except _Damage as damage:
        return Index(pieces, str(damage))
    except OSError as error:
        raise unreadable(path, error) from error
    except (struct.error, ValueError, IndexError):
        return Index(pieces, "a page that makes no sense")
    return Index(pieces)


class _Pages:
    """The pages of a file, and which of them the tree begins with."""

    def __init__(self, path: Path, data: mmap.mmap, size: int) -> None:
        self.path, self.data, self.bytes = path, data, size
        if data[MAGIC_AT : MAGIC_AT + len(MAGIC)] != MAGIC:
            raise _Damage("not of version 1 of LMDB on a machine of 64 bits")
        self.size = struct.unpack_from("<I", data, MAGIC_AT + 24)[0]
        if not 512 <= self.size <= 65536 or self.size & (self.size - 1):
            raise _Damage(f"pages of {self.size} bytes")
        metas = [META.unpack_from(data, HEADER + at) for at in (0, self.size)]
        newest = max(metas, key=lambda meta: int(meta[-1]))
        self.root, self.entries, last = int(newest[-3]), int(newest[-4]), int(newest[-2])
        if (last + 1) * self.size > size:
            whole = (last + 1) * self.size
            raise _Damage(f"cut: {size} of its {whole} bytes are there")

    def kind(self, number: int) -> tuple[int, int, int]:
        """Where a page begins, its kind and the number of its nodes."""
        start = number * self.size
        if number < 2 or start + self.size > self.bytes:
            raise _Damage(f"page {number} is beyond its end")
        flags, lower = struct.unpack_from("<HH", self.data, start + 10)
        return start, flags, (lower - HEADER) // 2

    def nodes(self, start: int, count: int) -> list[int]:
        """Where the nodes of a page begin."""
        if not 0 <= count <= self.size // 2:
            raise _Damage("a page of too many nodes")
        offsets = struct.unpack_from(f"<{count}H", self.data, start + HEADER)
        if any(not HEADER <= offset <= self.size - NODE.size for offset in offsets):
            raise _Damage("a node beyond its page")
        return [start + offset for offset in offsets]


def _walk(pages: _Pages, pieces: dict[bytes, Piece]) -> None:
    """Collect the values of all leaves, from left to right."""
    pending = [] if pages.root == NOWHERE else [(pages.root, 0)]
    seen = set()
    while pending:
        number, depth = pending.pop()
        if number in seen or depth > DEEPEST:
            raise _Damage("its pages go round in a circle")
        seen.add(number)
        start, flags, count = pages.kind(number)
        nodes = pages.nodes(start, count)
        if flags & BRANCH:
            pending += [(_below(pages, node), depth + 1) for node in reversed(nodes)]
        elif flags & LEAF:
            for node in nodes:
                _add(pages, node, start + pages.size, pieces)
        else:
            raise _Damage(f"page {number} is neither branch nor leaf")
    if len(pieces) != pages.entries:
        raise _Damage(f"{len(pieces)} of its {pages.entries} values were found")


def _below(pages: _Pages, node: int) -> int:
    low, middle, high, _ = NODE.unpack_from(pages.data, node)
    return int(low | middle << 16 | high << 32)


def _add(pages: _Pages, node: int, end: int, pieces: dict[bytes, Piece]) -> None:
    """Take note of where a value lies: in its leaf, or in pages of its own."""
    low, high, flags, length = NODE.unpack_from(pages.data, node)
    begins, size = node + NODE.size + length, low | high << 16
    if flags & NESTED:
        raise _Damage("tables within tables")
    if flags & LONG:
        (number,) = struct.unpack_from("<Q", pages.data, begins)
        start, kind, _ = pages.kind(number)
        if not kind & OVERFLOW:
            raise _Damage(f"page {number} holds no long value")
        offset, end = start + HEADER, pages.bytes
    else:
        offset = begins
    if offset + size > end:
        raise _Damage("a value beyond its page")
    key = pages.data[node + NODE.size : begins]
    pieces[key] = Piece(pages.path, offset, size)
