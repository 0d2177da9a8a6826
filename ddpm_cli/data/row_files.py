"""Images in arrays, as the files of a set: resized and converted like all others where wished."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Protocol

import numpy as np
import torch

from ddpm_cli.data import own_classes
from ddpm_cli.data.beside import CHANNELS
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.image_stacks import Stack
from ddpm_cli.data.loading import Wish, file_set, with_values
from ddpm_cli.data.own_classes import Told, Word
from ddpm_cli.data.splits import Split, arrange
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.pixels import Mode

WIDTH = 9  # digits of a row's number in its name
Colours = Literal["auto", "RGB", "L", "RGBA"]
MODES: dict[int, Mode] = {channels: mode for mode, channels in CHANNELS.items()}


class Pictures(Protocol):
    """Images of any sizes by their numbers; path: what messages call them."""

    path: Path

    def __len__(self) -> int: ...

    def png(self, index: int, /) -> BinaryIO:
        """Image number `index` as a file."""
        ...


class Part(NamedTuple):
    """Images and their classes, if any are told; words [N], origin: what tells them."""

    stack: Stack | Pictures
    words: Sequence[Word] | None = None
    origin: str = "the data"


class RowFiles:
    """The rows of one array, or of two for train and test, named by their numbers."""

    def __init__(
        self, root: Path, parts: Mapping[str, Part], classes: Sequence[str] | None = None
    ):
        """Take parts by their names, "" for one that is both; classes: what numbers mean."""
        self.root, self._parts, self._classes = root, parts, classes
        self.names = tuple(
            f"{name}/{row:0{WIDTH}}"
            for name, part in parts.items()
            for row in range(len(part.stack))
        )

    def open(self, name: str) -> BinaryIO:
        """Give a row as an image file."""
        stack, row = self.row(name)
        return stack.png(row)

    def row(self, name: str) -> tuple[Stack | Pictures, int]:
        """Where a row is."""
        part, _, number = name.rpartition("/")
        return self._parts[part].stack, int(number)

    def place(self, name: str) -> str:
        """Say where a row is, for messages."""
        stack, row = self.row(name)
        return f"{stack.path}: image {row}"

    def beside(self, name: str) -> bytes | None:
        """Nothing lies beside the rows."""
        return None

    def told(self, *, classes: bool = True) -> Told:
        """The classes of the rows, if they are wanted and told."""
        words: list[Word] = []
        for part in self._parts.values() if classes else ():
            words.extend(part.words if part.words is not None else [None] * len(part.stack))
        return own_classes.told(self, words, self._classes) if words else Told()


def row_set(
    root: Path,
    parts: Mapping[str, Part],
    split: Split,
    wish: Wish,
    *,
    labels: bool = True,
    classes: Sequence[str] | None = None,
) -> ImageSet:
    """The set of one split of arrays; rows that become as they are take no detour over files."""
    files = RowFiles(root, parts, classes)
    told = files.told(classes=labels)._replace(origin=next(iter(parts.values())).origin)
    stacks = {name: part.stack for name, part in parts.items() if isinstance(part.stack, Stack)}
    if stacks.keys() != parts.keys() or not _becomes([*stacks.values()], wish):
        return file_set(files, split, wish, told)
    if not wish.skip_corrupt:
        told.accept(files)
    arranged = arrange(files, split, wish.holdout, "none", told)
    names, listed = arranged.names, arranged.classes
    stack = stacks[names[0].rpartition("/")[0]]
    kept = torch.tensor([files.row(name)[1] for name in names])
    found = torch.tensor(arranged.labels) if listed else None
    about: dict[str, Any] = {
        "origin": told.origin,
        "skipped": tuple(
            f"{files.place(name)}: {told.without[name]}" for name in arranged.without
        ),
    }
    images: torch.Tensor | Chosen
    if len(names) * math.prod(stack.shape) <= wish.memory * 2**20:
        images = stack.rows(kept)
    else:
        images, about["count"] = Chosen(stack, kept), len(names)
    part = ImageSet(images, stack.shape, found, listed, **about)
    return with_values(part, files, names, wish, told)


def _becomes(stacks: Sequence[Stack], wish: Wish) -> bool:
    """Whether the rows have the size and the colours that are wished; all have one size."""
    if len({stack.shape for stack in stacks}) > 1:
        raise Refusal(f"{stacks[0].path}: its images to train on and to test differ in size")
    channels, height, width = stacks[0].shape
    is_sized = not wish.size or wish.size == height == width
    is_whole = wish.fit == "error" and not wish.range
    return is_whole and is_sized and CHANNELS[wish.mode] == channels


def mode_of(parts: Mapping[str, Part], mode: Colours) -> Mode:
    """The colours that are asked for; auto: those of an array, RGB for other images."""
    if mode != "auto":
        return mode
    stack = next(iter(parts.values())).stack
    return MODES[stack.shape[0]] if isinstance(stack, Stack) else "RGB"


class Chosen(NamedTuple):
    """Reads some of the images of a stack."""

    stack: Stack
    kept: torch.Tensor

    def __call__(self, index: int) -> tuple[torch.Tensor, int]:
        """Image number `index` of those that were chosen."""
        return self.stack(int(self.kept[index]))[0], index


def words(labels: Any, count: int, place: str) -> list[Word]:
    """The classes of images as an array says them; numbers below 0 stand for none."""
    flat = np.asarray(labels)
    flat = flat.reshape(-1) if flat.size == len(flat) else flat
    if flat.ndim != 1 or len(flat) != count:
        shown = "x".join(map(str, np.shape(labels)))
        raise Refusal(f"{place}: an array of {shown} classes for {count} images")
    if flat.dtype.kind not in "biufUS":
        raise Refusal(f"{place}: classes of type {flat.dtype}", "save numbers or words")
    return [_word(value, place) for value in flat.tolist()]


def _word(value: Any, place: str) -> Word:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, float):
        if not value.is_integer():
            raise Refusal(f"{place}: a class {value}", "classes are whole numbers or words")
        value = int(value)
    return None if isinstance(value, int) and value < 0 else str(value)
