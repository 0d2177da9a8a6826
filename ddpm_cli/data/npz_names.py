"""What arrays in .npz files are called, to train on and to test; no values of them are read."""

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ddpm_cli.files import array_file
from ddpm_cli.files.records import METADATA_KEY

LABELS = ("classes", "labels", "arr_1", "y", "label")
# NumPy reads headers with Python's own parser.
DAMAGED = (
    OSError, ValueError, KeyError, EOFError, SyntaxError, TypeError, RuntimeError, MemoryError,
    RecursionError, zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError,
)  # fmt: skip
IMAGES = (*array_file.IMAGES, "data", "x", "X", "image")
# By the part of the set how images and classes are called, of which the first ones there count.
SPLITS = {
    "train": (("x_train", "y_train"), ("X_train", "y_train"), ("train_images", "train_labels")),
    "test": (
        ("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels"),
        ("x_val", "y_val"), ("X_val", "y_val"), ("val_images", "val_labels"),
    ),
}  # fmt: skip


class Entry(NamedTuple):
    """The shape of an array, and the letter of NumPy for what its values are."""

    shape: tuple[int, ...]
    kind: str


class Pair(NamedTuple):
    """The names of an array of images and of one of their classes."""

    images: str
    labels: str | None


def holds(path: Path) -> bool:
    """Whether a path is a .npz file with images in it, by names and axes of its arrays."""
    found = entries(path)
    there = [pair.images for pair in pairs([*found], "", "").values()]
    return bool(there) and all(len(found[name].shape) > 2 for name in there)


def rows(path: Path) -> dict[str, Entry]:
    """The columns of a table in a .npz file, or its one array of numbers; empty if it has none.

    What has a record is what ddpm drew, and no table of anybody's.
    """
    found = entries(path)
    if METADATA_KEY in found:
        return {}
    if len(found) == 1 and len(next(iter(found.values())).shape) > 1:
        return found
    are_columns = all(len(each.shape) == 1 and each.kind in "biufU" for each in found.values())
    return found if are_columns and len({each.shape for each in found.values()}) == 1 else {}


def entries(path: Path) -> dict[str, Entry]:
    """The arrays of a .npz file by their names; empty of what is none."""
    # Opening a pipe could block for ever; NumPy is slow to import.
    if not (path.is_file() and zipfile.is_zipfile(path)):
        return {}
    from numpy.lib import format as npy

    found = dict[str, Entry]()
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not name.endswith(".npy"):
                    return {}
                with archive.open(name) as stream:
                    shape, _, dtype = read[npy.read_magic(stream)](stream)
                found[name.removesuffix(".npy")] = Entry(shape, dtype.kind)
    except DAMAGED:
        return {}
    return found


def pairs(names: Sequence[str], image: str, label: str) -> dict[str, Pair]:
    """The arrays of each part of a set that is there, "" where it has none; "" for the usual."""

    def beside(usual: tuple[str, ...]) -> str | None:
        return label or next((name for name in usual if name in names), None)

    if image:
        return {"": Pair(image, beside(LABELS))}
    found = {}
    for part, choices in SPLITS.items():
        pair = next((pair for pair in choices if pair[0] in names), None)
        if pair:
            found[part] = Pair(pair[0], beside(pair[1:]))
    if found:
        return found if len(found) == 2 else {"": next(iter(found.values()))}
    one = next((name for name in IMAGES if name in names), None)
    return {"": Pair(one, beside(LABELS))} if one else {}
