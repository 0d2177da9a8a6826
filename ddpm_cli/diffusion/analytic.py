"""Analytic-DPM: how uncertain the clean image is, from moments of the noise prediction.

With eps the noise and eps_hat its prediction, Var[x0 given x] = t^2 Var[eps given x]; its mean
over images and pixels is t^2 (1 - Gamma), Gamma = E||eps_hat||^2 / d (Bao 2022, eq. 8 and 9).
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, double

# Of the last denoiser call: each pixel's variance as a share of the level's mean variance.
Shares = Callable[[], Tensor]


class Moments(NamedTuple):
    """Gamma [K] at the noise levels sigma [K], ascending; both float64."""

    sigma: Tensor
    gamma: Tensor

    def at(self, sigma: Tensor) -> Tensor:
        """Gamma at any levels: linear in log sigma, constant beyond the ends."""
        sigma = double(sigma)
        if len(self.sigma) == 1:
            return self.gamma[0].expand(sigma.shape)
        at, knots = sigma.clamp(self.sigma[0], self.sigma[-1]).log(), self.sigma.log()
        high = torch.searchsorted(knots, at).clamp(1, len(knots) - 1)
        share = (at - knots[high - 1]) / (knots[high] - knots[high - 1])
        return torch.lerp(self.gamma[high - 1], self.gamma[high], share)

    def variance(self, sigma: Tensor) -> Tensor:
        """Mean variance of the clean image at sigma: sigma^2 (1 - Gamma), not clipped."""
        sigma = double(sigma)
        return sigma**2 * (1 - self.at(sigma))


class Analytic:
    """A denoiser that also predicts `covariance`, the variance of its clean image.

    It is clipped to [0, 1], the largest variance of data in [-1, 1] (Bao 2022, section 3.2).
    """

    def __init__(self, denoiser: Denoiser, moments: Moments, shares: Shares | None = None) -> None:
        self.schedule: Schedule = denoiser.schedule
        self._denoiser, self._moments, self._shares = denoiser, moments, shares

    def __call__(self, x: Tensor, sigma: Tensor, **condition: Any) -> Prediction:
        """Predict the clean image of the noisy x and its variance."""
        prediction: Prediction = self._denoiser(x, sigma, **condition)
        covariance = column(self._moments.variance(sigma), x)
        if self._shares is not None:
            covariance = covariance * self._shares().to(x.dtype)
        return prediction._replace(covariance=covariance.clamp(0, 1))

    def bind(self, **condition: Any) -> Wrapped:
        """The same denoiser with its conditions fixed."""
        return Wrapped(self, lambda x, sigma: self(x, sigma, **condition))


def grid(schedule: Schedule, count: int) -> Tensor:
    """At most `count` noise levels, ascending, to measure moments at: even in log sigma.

    Those of a discrete process are trained levels, all of them if `count` allows it.
    """
    steps = schedule.steps
    if steps is not None and count >= steps:
        return schedule.levels
    low, high = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).clamp(min=1e-6)
    levels = torch.linspace(float(low.log()), float(high.log()), count, dtype=torch.float64).exp()
    if steps is not None:
        levels = schedule.sigma((schedule.time(levels) * steps).round() / steps)
    distinct: Tensor = torch.unique(levels)
    return distinct


def predicted_noise(
    denoiser: Denoiser, x0: Tensor, noise: Tensor, sigma: Tensor, **condition: Any
) -> Tensor:
    """eps_hat = (x - E[x0 given x]) / sigma at x = x0 + sigma * noise, shaped like x0."""
    x = x0 + column(sigma, x0) * noise
    predicted: Tensor = (x - denoiser(x, sigma, **condition).x0) / column(sigma, x0)
    return predicted


def squares(noise: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the pixels of eps_hat^2 and (eps - eps_hat)^2, each [B].

    The first has the mean Gamma; the second the mean 1 - Gamma if the network is exact, less
    scatter at high levels, and gives the best variance around an imperfect mean if it is not
    (Bao 2022, ICML, theorem 2).
    """
    norm, error = (v.square().flatten(1).mean(1) for v in (predicted, noise - predicted))
    return norm, error


def share(
    method: Literal["npr", "sn"], noise: Tensor, predicted: Tensor, residue: Tensor
) -> tuple[Tensor, Tensor]:
    """What a head has to predict, as a share of the mean variance, and the weight of its error.

    npr: (eps - eps_hat)^2 / residue, whose mean given x is the variance around the prediction;
    sn: (eps^2 - eps_hat^2) / residue, whose mean is the variance if the network is exact (Bao
    2022, ICML, NPR-DPM and SN-DPM).  residue [B] = 1 - Gamma.  sn scatters like 1 / residue at
    high levels, so it counts less there.
    """
    r = column(residue, noise)
    if method == "npr":
        return (noise - predicted).square() / r, torch.ones_like(r)
    return (noise.square() - predicted.square()) / r, r


def trajectory(schedule: Schedule, moments: Moments, count: int) -> list[int]:
    """The `count` trained levels, as indices, whose ancestral walk has the tightest bound.

    From the first Gamma above 1 on, which no exact network has, the estimate is too poor to
    plan with: twice as many levels at the top are then visited evenly, by a fifth of their
    share of steps (Bao 2022, section 4 and its code).
    """
    sigma = schedule.levels
    steps = len(sigma)
    if not 2 <= count <= steps:
        raise ValueError(f"a trajectory of this process has 2 to {steps} steps")
    wrong = (moments.at(sigma) > 1).nonzero().flatten().tolist()
    poor = min(2 * (steps - wrong[0]), steps - 1) if wrong else 0
    planned = min(math.ceil((1 - 0.8 * poor / steps) * count), steps - poor)
    even = min(max(count - planned, 1), poor)
    above = [round(steps - poor / even * k) - 1 for k in reversed(range(even))] if even else []
    planable = sigma[: steps - poor]
    return _shortest(planable, moments.variance(planable), count - even) + above


def _shortest(sigma: Tensor, variance: Tensor, count: int) -> list[int]:
    """The path of `count` levels from the first to the last with the least sum of costs.

    The cost of a move is log(optimal variance / posterior variance), by dynamic programming.
    """
    if count == 1:
        return [0]
    ratio = (sigma[:, None] / sigma[None, :]) ** 2  # [s, t]: (s / t)^2
    forward = sigma[:, None] ** 2 * (1 - ratio)
    spread = forward + (1 - ratio) ** 2 * variance[None, :]
    upwards = torch.ones_like(ratio, dtype=torch.bool).triu(1)
    cost = torch.where(upwards, (spread / forward).log(), math.inf)
    total = torch.full_like(sigma, math.inf)
    total[0] = 0
    origins = []
    for _ in range(count - 1):
        total, origin = (total[:, None] + cost).min(0)
        origins.append(origin)
    path = [len(sigma) - 1]
    for origin in reversed(origins):
        path.append(int(origin[path[-1]]))
    return path[::-1]
