"""Which images a step sees and how they are changed: functions of (seed, step, position)."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.files.images.pixels import from_uint8
from ddpm_cli.training.conditions import dropped, taken


class Images(Protocol):
    """A set of images or arrays indexed by positions; see data.image_set.Data."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Rows [B, ...], uint8 pixels or normalized floats, and what is told of them."""


class Share(NamedTuple):
    """The part of each batch that one process of a data-parallel group computes."""

    rank: int = 0
    ranks: int = 1

    def of(self, batch: int) -> slice:
        """Positions within a batch; the batch must divide by the number of processes."""
        size = batch // self.ranks
        return slice(self.rank * size, (self.rank + 1) * size)


def order(images: int, seed: int, step: int, batch: int) -> Tensor:
    """Image numbers [batch] of a step: each epoch is its own permutation, without gaps."""
    positions = torch.arange(step * batch, (step + 1) * batch)
    epochs = positions // images
    rows = [
        _permutation(images, keyed(seed, "epoch", int(epoch)))[positions[epochs == epoch] % images]
        for epoch in torch.unique(epochs)
    ]
    return torch.cat(rows)


@lru_cache(maxsize=2)
def _permutation(images: int, seed: int) -> Tensor:
    return torch.randperm(images, generator=torch.Generator().manual_seed(seed))


class _Order:
    """The image numbers of every step from `first` on, as a sampler of a DataLoader."""

    def __init__(self, count: int, seed: int, steps: range, batch: int, share: Share) -> None:
        self._settings = (count, seed, steps, batch, share)

    def __len__(self) -> int:
        return len(self._settings[2])

    def __iter__(self) -> Iterator[Tensor]:
        count, seed, steps, batch, share = self._settings
        for step in steps:
            yield order(count, seed, step, batch)[share.of(batch)]


def batches(
    images: Images,
    *,
    seed: int,
    steps: range,
    batch: int,
    share: Share,
    workers: int,
    pin: bool,
) -> Iterator[tuple[Tensor, Conditions]]:
    """Rows and conditions of each step, read ahead by worker processes if there are any."""
    sampler: Any = _Order(len(images), seed, steps, batch, share)
    source: Any = images
    return iter(
        DataLoader(source, sampler=sampler, batch_size=None, num_workers=workers, pin_memory=pin)
    )


def image_rng(seed: int, step: int, batch: int, share: Share) -> Rng:
    """One generator an image of a step, the same however the batch is shared out."""
    positions = range(batch)[share.of(batch)]
    return Rng([keyed(seed, "image", step, position) for position in positions])


def scaled(rows: Tensor) -> Tensor:
    """What a network sees of rows: bytes in [-1, 1]; floats, normalized by their set, as is."""
    return from_uint8(rows) if rows.dtype == torch.uint8 else rows


def prepare(
    rows: Tensor,
    conditions: Conditions,
    rng: Rng,
    nulls: Conditions,
    *,
    flip: bool = False,
    crop: int = 0,
    drop: Mapping[str, float],
) -> tuple[Tensor, Conditions]:
    """Scale rows [B, ...]; flip half of the images, crop them; leave out conditions of some.

    nulls: what stands for each condition that the network takes; drop: how often it is left out.
    """
    x0 = scaled(rows)
    chance = rng.uniform(2).to(rows.device)
    if flip:
        x0 = torch.where((chance[:, 0] < 0.5).reshape(-1, 1, 1, 1), x0.flip(-1), x0)
    if crop:
        x0 = cropped(x0, crop, rng)
    return x0, dropped(taken(conditions, nulls), nulls, drop, chance[:, 1], rng)


def cropped(x0: Tensor, pad: int, rng: Rng) -> Tensor:
    """Images x0 [B, C, H, W] with `pad` pixels more at each edge, of which a random part is left.

    The new pixels repeat the edge, and the part has the size of the image.
    """
    height, width = x0.shape[-2:]
    wide = F.pad(x0, (pad, pad, pad, pad), mode="replicate")
    top, left = ((2 * pad + 1) * rng.uniform(2).to(x0.device)).long().unbind(1)
    rows = torch.arange(len(x0), device=x0.device)
    # Every part there is, as a view of the same memory: [B, C, 2 pad + 1, 2 pad + 1, H, W].
    parts = wide.unfold(2, height, 1).unfold(3, width, 1)
    return parts[rows, :, top, left]
