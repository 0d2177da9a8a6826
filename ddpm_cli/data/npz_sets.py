"""Which arrays of a .npz file are images and their classes, to train on and to test."""

from pathlib import Path

import numpy as np

from ddpm_cli.data.forms import begins
from ddpm_cli.data.image_stacks import Stack
from ddpm_cli.data.npz_entries import UNREADABLE, Entries
from ddpm_cli.data.npz_names import Pair, pairs
from ddpm_cli.data.row_files import Part, words
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import array_file
from ddpm_cli.foreign import missing, telling

WITHOUT = "save whole numbers or words, one for each image, or add --set data.labels=none"


def parts(
    path: Path, image: str, label: str, limit: int, *, labels: bool = True
) -> dict[str, Part]:
    """The images and classes of a .npz file by their split, "" where it has none.

    image, label: the names of the arrays, "" for the usual ones; limit: bytes of those that are
    compressed; labels: whether classes are read at all.
    """
    try:
        entries = Entries(path, limit)
        found = pairs(entries.names, image, label)
        for key, name in (("image", image), ("label", label)):
            if name and name not in entries.names:
                listed = ", ".join(entries.names[:8])
                raise ConfigError(f"data.{key}: no array {name!r} in {path}; it has {listed}")
        if not found:
            listed = ", ".join(f"{name} {_shown(entries, name)}" for name in entries.names[:5])
            fix = f"choose one: --set data.image={entries.names[0]}" if entries.names else ""
            raise Refusal(f"{path}: no images in it: {listed or 'it is empty'}", fix or UNREADABLE)
        if not labels:
            found = {part: pair._replace(labels=None) for part, pair in found.items()}
        return {part: _part(entries, pair) for part, pair in found.items()}
    except FileNotFoundError as error:
        raise missing.refusal(path, "data", fix=f"paths begin in {Path.cwd()}") from error
    except (Refusal, ConfigError):
        raise
    except Exception as error:  # zipfile raises NotImplementedError, struct.error, ... on damage
        told = telling.told(path, "data")
        if told is not None and not begins(path, b"PK"):
            raise told.refusal(path, "no .npz file") from error
        if damaged := array_file.damage(path):
            raise damaged from error
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise Refusal(f"{path}: damaged: {reason}", UNREADABLE) from error


def _part(entries: Entries, pair: Pair) -> Part:
    array = entries.read(pair.images)
    if not isinstance(array, np.ndarray):
        raise Refusal(f"{entries.path}: {pair.images} is no array")
    stack = Stack(entries.path, array, is_last=pair.images not in ("images", "samples"))
    if pair.labels is None:
        return Part(stack)
    place = f"{entries.path}: {pair.labels}"
    try:
        found = words(entries.read(pair.labels), len(stack), place)
    except Refusal as refusal:
        raise Refusal(refusal.message.splitlines()[0], WITHOUT) from None
    return Part(stack, found, f"the array {pair.labels}")


def _shown(entries: Entries, name: str) -> str:
    return "x".join(map(str, entries.shape(name)))
