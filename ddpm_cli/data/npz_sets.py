"""Which arrays of a .npz file are images and their classes, to train on and to test."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ddpm_cli.data import shards
from ddpm_cli.data.image_stacks import Stack
from ddpm_cli.data.npz_entries import UNREADABLE, Entries
from ddpm_cli.data.row_files import Part, words
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import array_file
from ddpm_cli.foreign import missing, telling

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
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile, ValueError):
        return False
    return path.is_file() and bool(_pairs(names, "", ""))


def parts(path: Path, image: str, label: str, limit: int) -> dict[str, Part]:
    """The images and classes of a .npz file by their split, "" where it has none.

    image, label: the names of the arrays, "" for the usual ones; limit: bytes of those that are
    compressed.
    """
    try:
        entries = Entries(path, limit)
        pairs = _pairs(entries.names, image, label)
        for key, name in (("image", image), ("label", label)):
            if name and name not in entries.names:
                listed = ", ".join(entries.names[:8])
                raise ConfigError(f"data.{key}: no array {name!r} in {path}; it has {listed}")
        if not pairs:
            listed = ", ".join(f"{name} {_shown(entries, name)}" for name in entries.names[:5])
            fix = f"choose one: --set data.image={entries.names[0]}" if entries.names else ""
            raise Refusal(f"{path}: no images in it: {listed or 'it is empty'}", fix or UNREADABLE)
        return {part: _part(entries, pair) for part, pair in pairs.items()}
    except FileNotFoundError as error:
        raise missing.refusal(path, "data", fix=f"paths begin in {Path.cwd()}") from error
    except (Refusal, ConfigError):
        raise
    except Exception as error:  # zipfile raises NotImplementedError, struct.error, ... on damage
        told = telling.told(path, "data")
        if told is not None and not shards.begins(path, b"PK"):
            raise told.refusal(path, "no .npz file") from error
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise Refusal(f"{path}: damaged: {reason}", UNREADABLE) from error


def _pairs(names: tuple[str, ...] | list[str], image: str, label: str) -> dict[str, Pair]:
    """The arrays of each part that is there."""

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


def _part(entries: Entries, pair: Pair) -> Part:
    array = entries.read(pair.images)
    if not isinstance(array, np.ndarray):
        raise Refusal(f"{entries.path}: {pair.images} is no array")
    stack = Stack(entries.path, array, is_last=pair.images not in ("images", "samples"))
    if pair.labels is None:
        return Part(stack)
    place = f"{entries.path}: {pair.labels}"
    return Part(stack, words(entries.read(pair.labels), len(stack), place))


def _shown(entries: Entries, name: str) -> str:
    return "x".join(map(str, entries.shape(name)))
