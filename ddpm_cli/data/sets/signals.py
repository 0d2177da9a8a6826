"""Toy signals that `[data] name` can choose, made from a seed: series and trajectories."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.data import rooms as geometry
from ddpm_cli.data import seasons
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.knobs import Count, Length, NonNegative, Period, Positive, Seed

Split = Literal["train", "test"]


def seasonal(
    split: Split,
    *,
    length: Length = 96,
    period: Period = 24,
    noise: Positive = 0.3,
    count: Count = 10000,
    seed: Seed = 0,
) -> ArraySet:
    """Series [1, length] with seasons of a period, a level, and noise that lasts.

    They are normal, so that the best forecast of their end is known. noise: its deviation; the
    waves of a period have one of 1, those of half a period and the level 0.5.
    """
    root = torch.linalg.cholesky(seasons.covariance(length, period, noise))

    def make(part: Split) -> Tensor:
        return seasons.drawn(_size(count, length, part), root, _generator(seed, part))

    return ArraySet(make(split), *statistics(make("train"), "seasonal"))


def rooms(
    split: Split,
    *,
    length: Length = 32,
    noise: NonNegative = 0.01,
    count: Count = 10000,
    seed: Seed = 0,
) -> ArraySet:
    """Paths [2, length] from anywhere in one room to anywhere in another, by one of two doors.

    The rooms are left and right of a wall at x = 0 in the square from -1 to 1; the doors, of which
    each is as likely, are at y = -0.5 and 0.5. noise: the deviation of points between the ends.
    """

    def make(part: Split) -> tuple[Tensor, Tensor]:
        generator, size = _generator(seed, part), _size(count, 2 * length, part)
        ends = torch.rand(2, size, 2, generator=generator) * torch.tensor([0.8, 2.0])
        starts, goals = ends[0] + torch.tensor([-1.0, -1.0]), ends[1] + torch.tensor([0.2, -1.0])
        labels = torch.randint(2, (size,), generator=generator)
        routes = geometry.paths(starts, goals, torch.tensor(geometry.DOORS)[labels], length)
        jitter = noise * torch.randn(size, 2, length, generator=generator)
        jitter[..., [0, -1]] = 0
        return routes + jitter, labels

    values, labels = make(split)
    return ArraySet(values, *statistics(make("train")[0], "rooms"), labels, ("low", "high"))


def _size(count: int, each: int, split: Split) -> int:
    """As many rows to train as asked for, and a fifth of that to test; each: values of a row."""
    if 2 * count * each > VALUE_LIMIT:
        most = VALUE_LIMIT // (2 * each)
        raise ConfigError(f"data.count: {count} is too large; at most {most}")
    return count if split == "train" else max(2, count // 5)


def _generator(seed: int, split: Split) -> torch.Generator:
    return torch.Generator().manual_seed(keyed(seed, "signal", split))
