"""A set of equally sized uint8 images with optional labels, in memory or decoded on demand."""

from typing import Protocol

import torch
from torch import Tensor

COLOURS = {1: "grey", 3: "RGB", 4: "RGBA"}


class Reader(Protocol):
    """Decodes image number `index`; gives the pixels [C,H,W] and the number really read."""

    def __call__(self, index: int) -> tuple[Tensor, int]: ...


class ImageSet:
    """Images [N,C,H,W] of bytes, indexed by an int64 tensor of positions.

    Made for DataLoader(set, sampler=batches_of_indices, batch_size=None): it holds no open
    file, so it can be copied to worker processes.
    """

    def __init__(
        self,
        images: Tensor | Reader,
        shape: tuple[int, int, int],
        labels: Tensor | None = None,
        classes: tuple[str, ...] | None = None,
        *,
        count: int | None = None,
        skipped: tuple[str, ...] = (),
    ) -> None:
        """Take pixels [N,C,H,W] or a reader of `count` images; `skipped` files are reported."""
        self._images = images
        self._count = len(images) if isinstance(images, Tensor) else count or 0
        self.shape = shape
        self.labels = labels
        self.classes = classes
        self.skipped = skipped

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Give pixels uint8 [B,C,H,W] and labels int64 [B], or None without classes."""
        if isinstance(self._images, Tensor):
            pixels, found = self._images[indices], indices
        else:
            read = [self._images(int(index)) for index in indices]
            pixels = torch.stack([image for image, _ in read])
            found = torch.tensor([number for _, number in read])
        return pixels, None if self.labels is None else self.labels[found]

    @property
    def in_memory(self) -> bool:
        """Whether all pixels are decoded already."""
        return isinstance(self._images, Tensor)

    @property
    def size(self) -> int:
        """The bytes all pixels take, or would take, in memory."""
        channels, height, width = self.shape
        return len(self) * channels * height * width

    def frequencies(self) -> list[float] | None:
        """Give the share of each class, or None without classes."""
        if self.labels is None or self.classes is None:
            return None
        counts = torch.bincount(self.labels, minlength=len(self.classes)).double()
        shares: list[float] = (counts / counts.sum()).tolist()
        return shares


def describe(images: ImageSet) -> str:
    """Say in one line what a set holds.

    Example: 60000 images 28x28 grey, 10 classes, in memory 47 MB.
    """
    channels, height, width = images.shape
    parts = [f"{len(images)} images {width}x{height} {COLOURS.get(channels, channels)}"]
    if images.classes is not None:
        parts.append(f"{len(images.classes)} classes")
    amount = f"{images.size / 1e6:.0f} MB"
    parts.append(f"in memory {amount}" if images.in_memory else f"decoded on demand ({amount})")
    if images.skipped:
        parts.append(f"{len(images.skipped)} unreadable files skipped")
    return ", ".join(parts)
