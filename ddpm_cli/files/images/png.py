"""The parts of a PNG file, read without a decoder: whether they are whole, and their texts.

Pillow ignores the check sums of the pixels and leaves rows that are missing black.
Format: https://www.w3.org/TR/png/
"""

import struct
import zlib
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type
BLOCK = 2**20


def verify(stream: BinaryIO, limit: int) -> None:
    """Raise ValueError unless every chunk is whole and all rows are there.

    A chunk of more than `limit` bytes is refused; the position of the stream is kept.
    """
    start = stream.tell()
    stream.seek(len(SIGNATURE))
    packed, unpacked, expected = zlib.decompressobj(), 0, 0
    kind = b""
    while kind != b"IEND":
        kind, data = _chunk(stream, limit)
        if kind == b"IHDR":
            expected = _length(data)
        elif kind == b"IDAT":
            unpacked += _unpack(packed, data, expected - unpacked)
    if unpacked < expected:
        raise ValueError(f"{unpacked} of {expected} bytes of pixels are there")
    stream.seek(start)


def text(stream: BinaryIO, key: str, limit: int) -> str | None:
    """Return what stands under a key before the pixels, if it is there and not packed.

    ValueError: no PNG, or a damaged one.
    """
    if stream.read(len(SIGNATURE)) != SIGNATURE:
        raise ValueError("no PNG")
    told, kind = None, b""
    while kind not in (b"IDAT", b"IEND"):
        kind, data = _chunk(stream, limit)
        name, end, value = data.partition(b"\0")
        if kind == b"tEXt" and end and name == key.encode("latin-1"):
            told = value.decode("latin-1")
    return told


def _chunk(stream: BinaryIO, limit: int) -> tuple[bytes, bytes]:
    """Read one chunk: length, kind, data, check sum over kind and data."""
    head = stream.read(8)
    if len(head) < 8:
        raise ValueError("the end of the file is missing")
    length, kind = struct.unpack(">I4s", head)
    if length > limit:
        raise ValueError(f"a part of {length} bytes")
    data = stream.read(length)
    stored = stream.read(4)
    if len(data) < length or len(stored) < 4:
        raise ValueError("the end of the file is missing")
    if zlib.crc32(data, zlib.crc32(kind)) != int.from_bytes(stored, "big"):
        raise ValueError(f"the check sum of its {kind.decode('latin-1')} part is wrong")
    return kind, data


def _length(header: bytes) -> int:
    """Give the bytes of all rows, each with its filter byte; 0 if unknown, as when interlaced."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced:
        return 0
    return int(height * ((width * depth * SAMPLES.get(colour, 0) + 7) // 8 + 1))


def _unpack(packed: "zlib._Decompress", data: bytes, missing: int) -> int:
    """Count what the data unpacks to, as far as it is missing, in little memory."""
    count = 0
    while data and count < missing:
        count += len(packed.decompress(data, BLOCK))
        data = packed.unconsumed_tail
    return count
