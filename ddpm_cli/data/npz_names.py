"""What arrays in .npz files are called, to train on and to test; nothing of them is read."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ddpm_cli.files import array_file

LABELS = ("classes", "labels", "arr_1", "y", "label")
IMAGES = (*array_file.IMAGES, "data", "x", "X", "image")
# By the part of the set how images and classes are called, of which the first ones there count.
SPLITS = {
    "train": (("x_train", "y_train"), ("X_train", "y_train"), ("train_images", "train_labels")),
    "test": (
        ("x_test", "y_test"), ("X_test", "y_test"), ("test_images", "test_labels"),
        ("x_val", "y_val"), ("X_val", "y_val"), ("val_images", "val_labels"),
    ),
}  # fmt: skip


class Pair(NamedTuple):
    """The names of an array of images and of one of their classes."""

    images: str
    labels: str | None


def holds(path: Path) -> bool:
    """Whether a path is a .npz file with images in it, by the names of its arrays."""
    try:
        if not path.is_file():  # opening a pipe could block for ever
            return False
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return bool(pairs(names, "", ""))


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
