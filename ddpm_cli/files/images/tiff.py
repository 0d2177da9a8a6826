"""What a TIFF file says of itself that Pillow does not: how many values a pixel has."""

import os
import struct
from typing import BinaryIO

_SAMPLES = 277  # SamplesPerPixel, TIFF 6.0 p. 39
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_ENTRIES = 4096  # of a directory: more than any has


def bands(stream: BinaryIO) -> int:
    """The number of values of each pixel; 0 if that is not to be found, 1 if it is not said."""
    stream.seek(0)
    order = _ORDERS.get(stream.read(4))
    if order is None:
        return 0
    try:
        stream.seek(struct.unpack(f"{order}I", stream.read(4))[0], os.SEEK_SET)
        count = struct.unpack(f"{order}H", stream.read(2))[0]
        for _ in range(min(count, _ENTRIES)):
            tag, _, _, value = struct.unpack(f"{order}HHIH2x", stream.read(12))
            if tag == _SAMPLES:
                return int(value)
    except (struct.error, OSError, ValueError):
        return 0
    return 1
