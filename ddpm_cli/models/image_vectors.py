"""Images as vectors: what an encoder, a classifier or CLIP, says of them (Ramesh 2022, DALL-E 2).

A prior draws such vectors, a decoder makes images of them.
"""

import math
from collections.abc import Callable
from copy import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Data
from ddpm_cli.diffusion.classifier import Classifier
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.hardware import Compute

ROWS = 256  # that are encoded at a time


class Encoder(NamedTuple):
    """A model that answers clean images with a row of numbers each, and where it computes.

    name: as it was asked for; info: what it was trained on.
    """

    name: str
    answer: Classifier
    info: DataInfo
    compute: Compute

    def __call__(self, data: Data) -> Tensor:
        """The vectors float32 [N, D] of all images of a set, in its order; see `unit`."""
        if tuple(data.shape) != tuple(self.info.shape):
            seen, given = ("x".join(map(str, shape)) for shape in (self.info.shape, data.shape))
            fix = "train it on images of that shape"
            raise Refusal(f"{self.name}: encodes images {seen}, the data are {given}; {fix}")
        scale = BYTES if data.range is None else Scale(*data.range)
        parts = torch.split(torch.arange(len(data)), ROWS)
        return torch.cat([self._rows(part, data, scale) for part in parts])

    def _rows(self, indices: Tensor, data: Data, scale: Scale) -> Tensor:
        pixels, _ = data[indices]
        x = pixels if pixels.is_floating_point() else scale.values(pixels)
        clean = torch.zeros((), dtype=torch.float64)
        with torch.no_grad(), self.compute.autocast():
            rows: Tensor = self.answer(x.to(self.compute.device), clean)
            return unit(rows.cpu())


def unit(vectors: Tensor) -> Tensor:
    """Vectors [N, D] of the norm sqrt(D), so that their values are about 1, as noise is."""
    directions: Tensor = F.normalize(vectors.float(), dim=-1)
    return directions * math.sqrt(vectors.shape[-1])


def embed(data: Data, load: Callable[[str], Encoder], *, encoder: str = "") -> Data:
    """The vectors of images in their place, for a prior to draw (Ramesh 2022).

    encoder: a trained classifier or CLIP, as -m takes it; training alone asks it. What is told of
    the images, as their class or text, is told of their vectors.
    """
    if data.mean is not None:
        raise ConfigError("embed: the data are no images already; leave it out")
    if not encoder:
        raise ConfigError("embed.encoder: name what encodes images; --set embed.encoder=RUN")
    rows = load(encoder)(data)
    plain = torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])
    vectors = ArraySet(rows, *plain, data.labels, data.classes, origin=data.origin)
    vectors.conditions, vectors.texts, vectors.values = data.conditions, data.texts, data.values
    return vectors


def described(data: Data, load: Callable[[str], Encoder], encoder: str, size: int) -> Data:
    """A set that also tells the vector of each image; size: how long it must be."""
    if not encoder:
        raise ConfigError("vector.encoder: name what encodes images; --set vector.encoder=RUN")
    rows = load(encoder)(data)
    if rows.shape[1] != size:
        fix = f"add --set vector.size={rows.shape[1]}"
        raise ConfigError(f"vector.size: {encoder} has vectors of {rows.shape[1]}; {fix}")
    other = copy(data)
    other.conditions = data.conditions | {"vector": rows}
    return other
