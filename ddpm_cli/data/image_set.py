"""What a data set is, and a set of equally sized images, in memory or decoded on demand."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.data import texts
from ddpm_cli.data.repeated import Repeated
from ddpm_cli.errors import many
from ddpm_cli.files.encodings import Encoding
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.files.titles import Titles

COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}

# What is told of rows beside their values, by kind: "classes" int64 [B]; "values" float32 [B, V],
# normalized, NaN where one is not told; "text" as the network's recipe has it; "image"
# [B, K, H, W] of bytes or in [-1, 1].  The network has an input of each name.
Conditions = dict[str, Tensor]
# The same of all rows of a set.
Held = dict[str, Tensor | Repeated]


class Reader(Protocol):
    """Decodes image number `index`; gives the pixels [C,H,W] and the number really read."""

    def __call__(self, index: int) -> tuple[Tensor, int]: ...


class Texts(NamedTuple):
    """What is written of images, read when it is asked for.

    encoding: of the frozen encoder that reads it, if one does.
    """

    text: Callable[[str], str | None]
    names: Sequence[str]
    encoding: Encoding | None = None

    def of(self, index: int) -> str | None:
        """What is written of image `index`, a caption a line; None if nothing is."""
        return "\n".join(self.captions(index)) or None

    def captions(self, index: int) -> list[str]:
        """The captions of image `index`, none or several."""
        return texts.captions(self.text(self.names[index]))


class Partners(NamedTuple):
    """The images [N, K, H, W] that lie beside those of a set, or what reads them by position."""

    images: "Tensor | Positions"
    channels: int


class Positions(Protocol):
    """Reads images [B, K, H, W] by their positions int64 [B]."""

    def __getitem__(self, indices: Tensor) -> Tensor: ...


class Data(Protocol):
    """What training asks of a set: rows by their positions, and what to tell of them.

    mean and std undo the normalization of float rows; images have none. titles: what the columns
    of a table are called. range: the pixels that are -1 and 1 in images of floats, None if all
    bytes are. notes: what to say before training. origin: where the classes come from, in words.
    values: the numbers among the conditions; texts: what is written of each row, if anything is.
    beside: the channels of the image that lies beside each and is told as `image`, 0 of none.
    """

    shape: tuple[int, ...]
    labels: Tensor | None
    conditions: Held
    classes: tuple[str, ...] | None
    skipped: tuple[str, ...]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    titles: Titles | None
    range: tuple[int, int] | None
    notes: tuple[str, ...]
    origin: str
    values: Quantities | None
    texts: Texts | None
    beside: int

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Give rows [B, ...], uint8 or normalized float32, and what is told of them."""

    def frequencies(self) -> list[float] | None:
        """Give the share of each class, or None without classes."""

    @property
    def what(self) -> str:
        """Number and kind of the rows, in words."""

    @property
    def size(self) -> int:
        """The bytes that all rows take in memory."""

    @property
    def in_memory(self) -> bool:
        """Whether all rows are there already."""

    @property
    def reach(self) -> float:
        """The largest magnitude of a value, as the network sees it."""


class ImageSet:
    """Images [N,C,H,W] of bytes, or of floats in [-1, 1], indexed by an int64 tensor of positions.

    It holds no open file, so it can be copied to worker processes.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    titles: Titles | None = None
    values: Quantities | None = None
    reach = 1.0

    def __init__(
        self,
        images: Tensor | Reader,
        shape: tuple[int, int, int],
        labels: Tensor | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        count: int | None = None,
        depth: int = 1,
        skipped: tuple[str, ...] = (),
        range: tuple[int, int] | None = None,
        notes: tuple[str, ...] | None = None,
        origin: str = "the data",
        texts: Texts | None = None,
        partners: Partners | None = None,
    ) -> None:
        """Take pixels [N,C,H,W], or a reader of `count` images and the bytes of its values.

        `skipped` files are reported; range, notes, origin: see Data; notes None: of no files;
        texts: what is written of each image; partners: the image beside each.
        """
        self._images = images
        self._count = len(images) if isinstance(images, Tensor) else count or 0
        self._depth = images.element_size() if isinstance(images, Tensor) else depth
        self.shape: tuple[int, ...] = shape
        self.labels = labels
        self.conditions: Held = {**conditions_of(labels)}
        self.classes = classes
        self.skipped = skipped
        self.range = range
        self.notes = notes or ()
        self.origin = origin
        self.texts = texts
        self.is_of_files = notes is not None
        self.beside = 0
        self._partners: Tensor | Positions | None = None
        if partners is not None:
            self.accompany(partners)

    def accompany(self, partners: Partners) -> None:
        """Put an image beside each."""
        self._partners, self.beside = partners
        if isinstance(self._partners, Tensor):
            self.conditions = {**self.conditions, "image": self._partners}

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Give pixels [B,C,H,W] and what is told of them, as their classes int64 [B]."""
        if isinstance(self._images, Tensor):
            return self._images[indices], told(self.conditions, indices)
        images, numbers = zip(*(self._images(int(index)) for index in indices), strict=True)
        read = torch.tensor(numbers)
        about = told(self.conditions, read)
        if self._partners is not None and "image" not in about:
            about["image"] = self._partners[read]
        return torch.stack(images), about

    def text(self, index: int) -> str | None:
        """What is written of an image, a line for each of its captions, or None."""
        return self.texts.of(index) if self.texts is not None else None

    @property
    def reader(self) -> Reader | None:
        """What decodes the images on demand; None if they are decoded already."""
        return None if isinstance(self._images, Tensor) else self._images

    @property
    def in_memory(self) -> bool:
        """Whether all pixels are decoded already."""
        return isinstance(self._images, Tensor)

    @property
    def size(self) -> int:
        """The bytes all pixels take, or would take, in memory."""
        channels, height, width = self.shape
        return len(self) * (channels + self.beside) * height * width * self._depth

    @property
    def what(self) -> str:
        """Number, size and colours of the images, in words."""
        channels, height, width = self.shape
        within = f", {self.range[0]} to {self.range[1]}" if self.range else ""
        beside = f", each with one {COLOURS[self.beside]} beside it" if self.beside else ""
        what = f"{width}x{height} {COLOURS.get(channels, channels)}{within}{beside}"
        return f"{many(len(self), 'images')} {what}"

    def frequencies(self) -> list[float] | None:
        """Give the share of each class, or None without classes."""
        return shares(self.labels, self.classes)


def conditions_of(labels: Tensor | None) -> Conditions:
    """What is told of the rows of a set, by kind: their classes, if there are any."""
    return {} if labels is None else {"classes": labels}


def told(conditions: Mapping[str, Tensor | Repeated], indices: Tensor | slice) -> Conditions:
    """What is told of some of the rows."""
    return {kind: values[indices] for kind, values in conditions.items()}


def numbered_as(data: Data, classes: tuple[str, ...] | None) -> Data:
    """A set of the same classes in another order, numbered as they are; others stay as they are.

    Checkpoints from before folders named by numbers were in the order of numbers have another.
    """
    same = classes is not None and sorted(data.classes or ()) == sorted(classes)
    if classes is None or not same or data.labels is None or data.classes in (None, classes):
        return data
    places = torch.tensor([classes.index(name) for name in data.classes])
    other = copy(data)
    other.labels, other.classes = places[data.labels], classes
    other.conditions = {**data.conditions, **conditions_of(other.labels)}
    return other


def shares(labels: Tensor | None, classes: tuple[str, ...] | None) -> list[float] | None:
    """Give the share of each class among labels [N], or None without classes."""
    if labels is None or classes is None:
        return None
    counts = torch.bincount(labels, minlength=len(classes)).double()
    listed: list[float] = (counts / counts.sum()).tolist()
    return listed


def describe(data: Data) -> str:
    """Say in one line what a set holds.

    Example: 60000 images 28x28 grey, 10 classes, in memory 47 MB.
    """
    parts = [data.what]
    if data.classes is not None:
        parts.append(f"{len(data.classes)} classes")
    amount = f"{data.size / 1e6:.0f} MB"
    parts.append(f"in memory {amount}" if data.in_memory else f"decoded on demand ({amount})")
    if data.skipped:
        parts.append(f"{len(data.skipped)} unreadable files skipped")
    return ", ".join(parts)
