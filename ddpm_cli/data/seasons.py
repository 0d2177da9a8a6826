"""Normal series with seasons, whose law is known: what a forecast of them can be held to."""

import math

import torch
from torch import Tensor

HARMONICS = (1.0, 0.5)  # deviations of the waves of a period and of half of it
LEVEL = 0.5  # deviation of the mean of a series
MEMORY = 0.9  # correlation of the noise of two moments side by side


def covariance(length: int, period: int, noise: float) -> Tensor:
    """Covariance [L, L] in float64 of a series of mean 0.

    Sum over h of s_h^2 cos(2 pi h k / period), waves of normal amplitude and any phase, a normal
    level, and noise of deviation `noise` with correlation 0.9^k, k moments apart.
    """
    moments = torch.arange(length, dtype=torch.float64)
    apart = (moments[:, None] - moments).abs()
    waves = sum(
        deviation**2 * torch.cos(2 * math.pi * (number + 1) * apart / period)
        for number, deviation in enumerate(HARMONICS)
    )
    return waves + LEVEL**2 + noise**2 * MEMORY**apart


def drawn(count: int, root: Tensor, generator: torch.Generator) -> Tensor:
    """Series [N, 1, L] of a covariance with this Cholesky root [L, L]."""
    normal = torch.randn(count, len(root), generator=generator, dtype=torch.float64)
    return (normal @ root.T)[:, None]


def forecast(law: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [N, M] and covariance [M, M] of the moments behind the known first ones [N, K].

    Of a normal law of mean 0: C_fp C_pp^-1 x_p and C_ff - C_fp C_pp^-1 C_pf.
    """
    known = past.shape[1]
    weights = torch.linalg.solve(law[:known, :known], law[:known, known:]).T
    return past.double() @ weights.T, law[known:, known:] - weights @ law[:known, known:]
