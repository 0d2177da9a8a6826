"""The IDX format of MNIST and its relatives, plain or gzipped, read without trusting it.

Format (LeCun, http://yann.lecun.com/exdb/mnist): two zero bytes, the type (8 = unsigned byte),
the number of dimensions, each dimension as a big-endian 32-bit number, then the values.
"""

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.errors import Refusal
from ddpm_cli.foreign import missing, telling

UNSIGNED_BYTE = 8
BYTE_LIMIT = 2**29
RATIO = 1032  # deflate cannot expand more than this
# What to say where images are given as labels, or the other way round.
EXCHANGED = {
    (UNSIGNED_BYTE, 1, 3): ["these are labels: give them as data.labels, images as data.images"],
    (UNSIGNED_BYTE, 3, 1): ["these are images: give them as data.images, labels as data.labels"],
}
GZIP_MAGIC = b"\x1f\x8b"
NAMES = re.compile(r".*?(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(?:\.gz)?")


def read_idx(path: Path, dimensions: int) -> Tensor:
    """Read an IDX file of unsigned bytes with this many dimensions as a uint8 tensor."""
    if path.exists() and not path.is_file():  # opening a pipe could block for ever
        raise Refusal(f"{path}: not a regular file")
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if stream.read(2) != GZIP_MAGIC:
                stream.seek(0)
                return _read(stream, path, dimensions, size)
            stream.seek(0)
            with gzip.open(stream) as unpacked:
                return _read(unpacked, path, dimensions, size * RATIO)  # type: ignore[arg-type]
    except FileNotFoundError as error:
        fix = f"paths begin in {Path.cwd()}"
        raise missing.refusal(path, "data", fix=fix) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Refusal(f"{path}: damaged gzip file: {error}") from error
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from error


def _read(stream: BinaryIO, path: Path, dimensions: int, most: int) -> Tensor:
    """Read header and values; `most` bounds what the file can hold, before anything is taken."""
    shape = _header(stream, path, dimensions)
    total = math.prod(shape)
    claimed = "x".join(map(str, shape))
    if total == 0:
        raise Refusal(f"{path}: it holds nothing ({claimed})")
    if total > most:
        raise Refusal(f"{path}: truncated: it claims {claimed} values and holds fewer")
    if total > BYTE_LIMIT:
        raise Refusal(f"{path}: it claims {claimed} values; the limit is {BYTE_LIMIT}")
    values = bytearray(total)
    view, filled = memoryview(values), 0
    while filled < total:
        count = stream.readinto(view[filled : filled + 2**20])  # type: ignore[attr-defined]
        if not count:
            raise Refusal(f"{path}: truncated: {filled} of {total} values are there")
        filled += count
    if stream.read(1):  # at the end gzip also compares its check sum
        raise Refusal(f"{path}: damaged: data goes on after the {total} values")
    return torch.frombuffer(values, dtype=torch.uint8).reshape(shape)


def _header(stream: BinaryIO, path: Path, dimensions: int) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        told = telling.told(path, "data")
        raise told.refusal(path, "no IDX file") if told else Refusal(f"{path}: not an IDX file")
    if magic[2] != UNSIGNED_BYTE or magic[3] != dimensions:
        kind = f"type {magic[2]:#04x} with {magic[3]} dimensions"
        what = f"{path}: {kind}; expected type 0x08 (bytes) with {dimensions}"
        raise Refusal(what, *EXCHANGED.get((magic[2], magic[3], dimensions), ()))
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise Refusal(f"{path}: truncated: the header is cut")
    return struct.unpack(f">{dimensions}I", sizes)


def idx_names(folder: Path) -> tuple[str, str, str, str]:
    """The images and labels to train on and to test that a folder holds, "" for what it lacks.

    They are named as MNIST's or EMNIST's, train-images-idx3-ubyte and t10k-labels-idx1-ubyte.
    """
    found: dict[tuple[str, str], list[str]] = {}
    try:
        for entry in sorted(folder.iterdir()):
            if match := NAMES.fullmatch(entry.name):
                several = found.setdefault((match[1], match[2]), [])
                if str(entry).removesuffix(".gz") not in several:
                    several.append(str(entry))
    except FileNotFoundError as error:
        raise missing.refusal(folder, "data", fix=f"paths begin in {Path.cwd()}") from error
    except OSError as error:
        raise Refusal(f"{folder}: {error.strerror or error}") from error
    for (part, kind), several in found.items():
        if len(several) > 1:
            what = f"{folder}: several files of {kind}: {', '.join(several[:4])}"
            test = "test_" * (part != "train")
            raise Refusal(what, f"choose one: --set data.{test}{kind}={several[0]}")
    if ("train", "images") not in found:
        raise Refusal(f"{folder}: no file named as train-images-idx3-ubyte is in it")

    test = "t10k" if ("t10k", "images") in found else "test"
    keys = [(part, kind) for part in ("train", test) for kind in ("images", "labels")]
    images, labels, test_images, test_labels = (found.get(key, [""])[0] for key in keys)
    return images, labels, test_images, test_labels


def idx_set(images: Path, labels: Path | None, classes: tuple[str, ...] | None) -> ImageSet:
    """Read grey images [N,H,W] and labels [N]; without class names, labels name themselves."""
    pixels = read_idx(images, 3).unsqueeze(1)
    shape = (1, pixels.shape[2], pixels.shape[3])
    if labels is None:
        return ImageSet(pixels, shape)
    numbers = read_idx(labels, 1).long()
    if len(numbers) != len(pixels):
        raise Refusal(f"{labels}: {len(numbers)} labels for {len(pixels)} images in {images}")
    highest = int(numbers.max())
    classes = classes or tuple(map(str, range(highest + 1)))
    if highest >= len(classes):
        raise Refusal(f"{labels}: label {highest}; expected 0 to {len(classes) - 1}")
    return ImageSet(pixels, shape, numbers, classes)
