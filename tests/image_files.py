"""Image files for the tests: ones that Pillow cannot write, chunk by chunk, and noise to edit."""

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.files.images import given_back, inputs, pixels
from ddpm_cli.files.images.inputs import Input, Source

SIGNATURE = b"\x89PNG\r\n\x1a\n"

GREY, RGB = 0, 2

RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH = 10, 13
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}

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
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return SIGNATURE + head + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def interlaced_grey(values: list[list[int]]) -> bytes:
    """An Adam7 interlaced 8-bit grey PNG file."""
    rows = []
    for left, top, step_x, step_y in ADAM7:
        rows += [bytes(row[left::step_x]) for row in values[top::step_y] if row[left::step_x]]
    return png(header(len(values[0]), len(values), 8, GREY, interlaced=True), rows)


def idx(shape: tuple[int, ...], values: bytes, kind: int = 8) -> bytes:
    """An IDX file."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + values


def noise(mode: str, height: int = HEIGHT, width: int = WIDTH) -> Tensor:
    """Random pixels [c,h,w] of a mode."""
    values = RANDOM.integers(0, 256, (CHANNELS[mode], height, width), np.uint8)
    return torch.from_numpy(values)


def stored(folder: Path, data: bytes, name: str = "some.image") -> Source:
    """A file of these bytes."""
    path = folder / name
    path.write_bytes(data)
    return Source(str(path), path.stem)


def read(folder: Path, planes: Tensor, shape: tuple[int, ...], *how: str) -> Input:
    """Read pixels [c,h,w] as a model of `shape` does."""
    return inputs.read(stored(folder, pixels.encode_png(planes)), shape, *how)  # type: ignore[arg-type]


def put_back(found: Input, made: Tensor) -> Tensor:
    """What was made of an input, given back where it differs."""
    return given_back.paste(found, made, (made != found.image).any(0, keepdim=True))
