"""How good forecasts are that are samples: a proper score, in the units of the data."""

import math

import torch
from torch import Tensor


def crps(samples: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score of samples [M, ...] for what came to be [...].

    E|X - y| - E|X - X'| / 2 with X' another sample (Gneiting 2007, eq. 21); the mean over pairs
    of different samples makes it unbiased (fair). A single sample has its absolute error.
    """
    count = len(samples)
    ordered, _ = samples.double().sort(dim=0)
    error = (ordered - truth.double()).abs().mean(0)
    if count == 1:
        return error
    # Of sorted numbers the sum of |x_i - x_j| over pairs i < j is that of (2 i - M + 1) x_i.
    weights = 2 * torch.arange(count, dtype=torch.float64) - count + 1
    shape = (-1, *[1] * truth.ndim)
    spread = (weights.reshape(shape) * ordered).sum(0) / (count * (count - 1) / 2)
    return error - spread / 2


def crps_of_normal(mean: Tensor, deviation: Tensor, truth: Tensor) -> Tensor:
    """The same of a normal law: s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)).

    z = (y - m) / s, of the truth y, the mean m and the deviation s.
    """
    z = (truth.double() - mean) / deviation
    phi = torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    score = z * (2 * torch.special.ndtr(z) - 1) + 2 * phi - 1 / math.sqrt(math.pi)
    scaled: Tensor = deviation * score
    return scaled


def naive(past: Tensor, length: int, period: int) -> Tensor:
    """The seasonal naive forecast [..., length]: the last period of a past [..., K] again."""
    last = past[..., -period:]
    times = -(-length // period)
    return last.repeat(*[1] * (past.ndim - 1), times)[..., :length]
