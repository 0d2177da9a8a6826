"""Which images a step sees and how they are changed: functions of (seed, step, position)."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import PHILOX, Randomness, Rng, keyed
from ddpm_cli.files.images.pixels import from_uint8
from ddpm_cli.training.conditions import IMAGE, dropped, seen, taken
from ddpm_cli.training.prefetch import placed
from ddpm_cli.training.readers import Readers


class Share(NamedTuple):
    """The part of each batch that one process of a data-parallel group computes."""

    rank: int = 0
    ranks: int = 1

    def of(self, batch: int) -> slice:
        """Positions within a batch; the batch must divide by the number of processes."""
        size = batch // self.ranks
        return slice(self.rank * size, (self.rank + 1) * size)

    def parts(self, count: int) -> list["Share"]:
        """This share in parts of equal size, in the order of their positions."""
        first = self.rank * count
        return [Share(first + number, self.ranks * count) for number in range(count)]


class Part(NamedTuple):
    """Some images of a batch: their positions in it, what the network sees, their generators."""

    positions: slice
    x0: Tensor
    conditions: Conditions
    rng: Rng


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


class Order:
    """The image numbers of every part of every step, one after the other."""

    def __init__(
        self, images: int, seed: int, steps: range, batch: int, shares: Sequence[Share]
    ) -> None:
        self._images, self._seed, self._steps = images, seed, steps
        self._batch, self._shares = batch, shares

    def __iter__(self) -> Iterator[Tensor]:
        for step in self._steps:
            numbers = order(self._images, self._seed, step, self._batch)
            yield from (numbers[share.of(self._batch)] for share in self._shares)


def batches(
    readers: Readers,
    nulls: Conditions,
    device: torch.device,
    *,
    seed: int,
    steps: range,
    batch: int,
    shares: Sequence[Share],
    randomness: Randomness = PHILOX,
    **changes: Any,
) -> Iterator[tuple[int, list[Part]]]:
    """The number of each step and its batch in parts, one for each of `shares`.

    readers: of the `Order` of the same numbers; changes: see `prepare`.  Nulls are on the device.
    """
    source = placed(readers, device)
    for step in steps:
        parts = []
        for share in shares:
            read, conditions = next(source)
            rng = randomness.rng(seed, "image", step, range(batch)[share.of(batch)])
            ready = prepare(read, conditions, rng, nulls, **changes)
            parts.append(Part(share.of(batch), *ready, rng))
        yield step, parts


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
    drop_each: Mapping[str, float] = MappingProxyType({}),
) -> tuple[Tensor, Conditions]:
    """Scale rows [B, ...]; flip half of the images, crop them; leave out conditions of some.

    nulls: what stands for each condition that the network takes; drop: how often it is left out,
    drop_each: how often single entries of it are. The image beside each is flipped and cropped
    with it.
    """
    told = seen(taken(conditions, nulls, rng))
    x0 = beheld = scaled(rows)
    if (image := told.pop(IMAGE, None)) is not None:
        beheld = torch.cat([x0, image], dim=1)
    chance = rng.uniform(2, rows.device)
    if flip:
        beheld = torch.where((chance[:, 0] < 0.5).reshape(-1, 1, 1, 1), beheld.flip(-1), beheld)
    if crop:
        beheld = cropped(beheld, crop, rng)
    told = dropped(told, nulls, drop, chance[:, 1], rng, drop_each)
    if image is not None:
        told[IMAGE] = beheld[:, x0.shape[1] :]
    return beheld[:, : x0.shape[1]], told


def cropped(x0: Tensor, pad: int, rng: Rng) -> Tensor:
    """Images x0 [B, C, H, W] with `pad` pixels more at each edge, of which a random part is left.

    The new pixels repeat the edge, and the part has the size of the image.
    """
    height, width = x0.shape[-2:]
    wide = F.pad(x0, (pad, pad, pad, pad), mode="replicate")
    top, left = ((2 * pad + 1) * rng.uniform(2, x0.device)).long().unbind(1)
    rows = torch.arange(len(x0), device=x0.device)
    # Every part there is, as a view of the same memory: [B, C, 2 pad + 1, 2 pad + 1, H, W].
    parts = wide.unfold(2, height, 1).unfold(3, width, 1)
    return parts[rows, :, top, left]
