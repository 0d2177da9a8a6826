"""Toy data in one and two dimensions that `[data] name` can choose, made from a seed.

A mixture has its weights exactly (to one row), not by chance: what a model gets wrong is its own.
"""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.data import toy_laws
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError
from ddpm_cli.settings.knobs import Count, Fraction, NonNegative, Positive, Seed

Split = Literal["train", "test"]


def two_points(split: Split, *, count: Count = 10000, seed: Seed = 0) -> ArraySet:
    """One dimension, half of the data at -0.5 and half at +0.5.

    It is not normalized: E[x0 given x_t] = tanh(sqrt(abar) x_t / (2 (1 - abar))) / 2.
    """
    labels = _labels(_size(count, split), [0.5, 0.5], _generator(seed, split))
    values = labels[:, None] - 0.5
    return ArraySet(values, torch.zeros(1), torch.ones(1), labels, ("low", "high"))


def two_gaussians(
    split: Split,
    *,
    weight: Fraction = 0.2,
    distance: Positive = 5.0,
    count: Count = 10000,
    seed: Seed = 0,
) -> ArraySet:
    """Two unit normals at (-distance, -distance), of this weight, and at (distance, distance).

    Far apart, their score hardly tells their weights (Song 2019, figure 3).
    """
    centres, names = toy_laws.pair(distance), ("low", "high")
    return _mixture(split, count, seed, centres, [weight, 1 - weight], 1.0, names)


def eight_gaussians(
    split: Split,
    *,
    radius: Positive = 4.0,
    deviation: NonNegative = 0.35,
    count: Count = 10000,
    seed: Seed = 0,
) -> ArraySet:
    """Eight equal normals around a circle in two dimensions."""
    names, centres = tuple(map(str, range(8))), toy_laws.circle(radius)
    return _mixture(split, count, seed, centres, [1 / 8] * 8, deviation, names)


def swiss_roll(
    split: Split, *, noise: NonNegative = 0.5, count: Count = 10000, seed: Seed = 0
) -> ArraySet:
    """A spiral in two dimensions: (a cos a, a sin a) for a from 1.5 pi to 4.5 pi, with noise."""

    def make(part: Split) -> Tensor:
        generator = _generator(seed, part)
        roll = toy_laws.spiral(torch.rand(_size(count, part), generator=generator))
        return roll + noise * torch.randn(roll.shape, generator=generator)

    return ArraySet(make(split), *statistics(make("train"), "swiss-roll"))


def _mixture(
    split: Split,
    count: int,
    seed: int,
    centres: Tensor,
    weights: list[float],
    deviation: float,
    names: tuple[str, ...],
) -> ArraySet:
    """Normals around centres [K, D]; both splits are normalized as the training split."""

    def make(part: Split) -> tuple[Tensor, Tensor]:
        generator = _generator(seed, part)
        labels = _labels(_size(count, part), weights, generator)
        noise = torch.randn(len(labels), centres.shape[1], generator=generator)
        return centres[labels] + deviation * noise, labels

    values, labels = make(split)
    return ArraySet(values, *statistics(make("train")[0], "data"), labels, names)


def _labels(size: int, weights: list[float], generator: torch.Generator) -> Tensor:
    """Component numbers [size] in exact proportions, shuffled."""
    bounds = (torch.tensor(weights, dtype=torch.float64).cumsum(0) * size).round()
    ordered = torch.searchsorted(bounds[:-1], torch.arange(size).double(), right=True)
    return ordered[torch.randperm(size, generator=generator)]


def _size(count: int, split: Split) -> int:
    """As many rows to train as asked for, and a fifth of that to test."""
    if 2 * count > VALUE_LIMIT:
        raise ConfigError(f"data.count: {count} is too large; at most {VALUE_LIMIT // 2}")
    return count if split == "train" else max(2, count // 5)


def _generator(seed: int, split: Split) -> torch.Generator:
    return torch.Generator().manual_seed(keyed(seed, "toy", split))
