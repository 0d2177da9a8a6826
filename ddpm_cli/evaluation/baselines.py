"""What programs and tables without a network need for images: yardsticks of bits per dimension."""

import bz2
import gzip
import lzma
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.files.images.pixels import encode_png

# Each at its hardest setting; the time that gzip writes into its header is fixed.
COMPRESSORS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip -9": lambda content: gzip.compress(content, 9, mtime=0),
    "bz2 -9": lambda content: bz2.compress(content, 9),
    "xz -9e": lambda content: lzma.compress(content, preset=9 | lzma.PRESET_EXTREME),
}
SEEN = 0.5  # of an image with each level, beside those in training (Krichevsky and Trofimov)


class Baseline(NamedTuple):
    """Bits per dimension; of: what they are counted for; error: of the mean over images, if so."""

    name: str
    bits: float
    of: str
    error: float | None = None


def compressed(pixels: Tensor) -> list[Baseline]:
    """What compressors make of all images [N, C, H, W] in one file without headers."""
    content, size = pixels.contiguous().numpy().tobytes(), pixels.numel()
    whole = f"all {len(pixels)} images as one file"
    return [
        Baseline(name, 8 * len(compress(content)) / size, whole)
        for name, compress in COMPRESSORS.items()
    ]


def png(pixels: Tensor) -> Baseline:
    """The mean over images [N, C, H, W] of bytes, each a PNG file with its headers."""
    sizes = [8 * len(encode_png(image)) / image.numel() for image in pixels]
    return averaged("PNG", torch.tensor(sizes, dtype=torch.float64), "each image a file")


class Histograms:
    """How often each value of an image had each of `levels` levels, in training: independent."""

    def __init__(self, levels: int) -> None:
        self._levels, self._counts, self.images = levels, torch.zeros(0), 0

    def add(self, pixels: Tensor) -> None:
        """Count images [N, ...] of whole numbers."""
        flat = pixels.flatten(1).long()
        places = torch.arange(flat.shape[1]) * self._levels
        every = (flat + places).flatten()
        found = torch.bincount(every, minlength=flat.shape[1] * self._levels).double()
        self._counts = found if not self.images else self._counts + found
        self.images += len(flat)

    def bits(self, pixels: Tensor) -> Tensor:
        """Bits per dimension of images [N, ...]: -log2 (n + SEEN) / (N + SEEN levels) [N]."""
        table = self._counts.reshape(-1, self._levels)
        chances = (table + SEEN).log2() - math.log2(self.images + SEEN * self._levels)
        flat = pixels.flatten(1).long()
        found = chances[torch.arange(flat.shape[1]), flat]
        return -found.mean(1)


def histograms(pixels: Tensor, training: Iterable[Tensor], levels: int) -> Baseline:
    """What histograms of each pixel, of the images in training, make of images [N, C, H, W]."""
    table = Histograms(levels)
    for batch in training:
        table.add(batch)
    of = f"each pixel by itself, from {table.images} images in training"
    return averaged("histograms", table.bits(pixels), of)


def averaged(name: str, bits: Tensor, of: str) -> Baseline:
    """The mean of bits of images [N], and its standard error."""
    error = float(bits.std()) / math.sqrt(len(bits)) if len(bits) > 1 else None
    return Baseline(name, float(bits.mean()), of, error)
