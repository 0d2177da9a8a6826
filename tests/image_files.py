"""Image files that Pillow cannot write, made chunk by chunk for the tests."""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, RGB = 0, 2

ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk with its check sum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int, depth: int, colour: int, interlaced: bool = False) -> bytes:
    """The first chunk of a PNG file."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png(head: bytes, rows: list[bytes], *extra: bytes) -> bytes:
    """A PNG file of unfiltered rows, `extra` chunks before the pixels."""
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    return SIGNATURE + head + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def interlaced_grey(pixels: list[list[int]]) -> bytes:
    """An Adam7 interlaced 8-bit grey PNG file."""
    rows = []
    for left, top, step_x, step_y in ADAM7:
        rows += [bytes(row[left::step_x]) for row in pixels[top::step_y] if row[left::step_x]]
    return png(header(len(pixels[0]), len(pixels), 8, GREY, interlaced=True), rows)


def idx(shape: tuple[int, ...], values: bytes, kind: int = 8) -> bytes:
    """An IDX file."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values
