"""Quantities with a known exact value, computed by the same code that trains and samples.

Each oracle is a function of the device and the number format that returns what it measured and
what is right.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.diffusion import labels, level_fitting, levels, likelihood, parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.guidance import Pair, guidance
from ddpm_cli.diffusion.guiders import cfg
from ddpm_cli.diffusion.level_fitting import Costs
from ddpm_cli.diffusion.losses.denoising import simple
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.ancestral import ddpm
from ddpm_cli.diffusion.samplers.edm import heun
from ddpm_cli.diffusion.samplers.implicit import ddim
from ddpm_cli.diffusion.schedules import Schedule, tables
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.networks.conditions.text import text


class Verdict(NamedTuple):
    """A measured figure beside the right one, and how far apart they may lie."""

    measured: float
    exact: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the measured figure is close enough."""
        return abs(self.measured - self.exact) <= self.tolerance


Oracle = Callable[[torch.device, torch.dtype], Verdict]


class _Gaussian(nn.Module):
    """The exact network for data N(0, 1) under v-prediction of a variance-preserving process.

    E[x0 given x] = alpha * x in native scale, so v = alpha * eps - sigma * x0 vanishes.
    """

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """Return v = 0."""
        return torch.zeros_like(x)


def _deviation(step: Step, count: int, spacing: Callable[..., Tensor] = levels.leading) -> Tensor:
    """Factor by which a deterministic walk scales its start, in native scale."""
    schedule = tables.linear()
    denoise = Denoiser(_Gaussian(), schedule, parameterizations.v, labels.index)
    along = spacing(schedule, count=count)
    x = torch.ones(1, 1, dtype=torch.float64) * schedule.prior(along[0])
    *_, last = walk(denoise, x, along, Rng([0]), predictor=step)
    return last.x[0, 0]


def linear_schedule(device: torch.device, dtype: torch.dtype) -> Verdict:
    """abar at T = 1000 of the linear schedule (Ho 2020)."""
    schedule = tables.linear()
    alpha = schedule.alpha(schedule.sigma(torch.tensor(1.0, dtype=torch.float64)))
    return Verdict(float(alpha**2), 4.035829765e-05, 1e-12)


def ddim_on_gaussian(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Variance that 10 DDIM steps leave of N(0, 1) data: the product of cos^2 of the angles."""
    return Verdict(float(_deviation(ddim, 10) ** 2), 0.6917, 5e-5)


def heun_order(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Order of Heun's method: log2 of the error's fall when the steps are doubled."""
    errors = [abs(float(_deviation(heun, count, levels.karras)) - 1) for count in (40, 80)]
    return Verdict(math.log2(errors[0] / errors[1]), 2, 0.25)


def fitted_levels(device: torch.device, dtype: torch.dtype) -> Verdict:
    """How near three moves of ddim on levels fitted to N(0, 1) data end, of all lists of a grid.

    The multiplier of a move from t to s is a + (s / t) (1 - a) with a = 1 / (1 + t^2).
    """
    schedule = tables.linear()
    denoise = Denoiser(_Gaussian(), schedule, parameterizations.v, labels.index)
    along = level_fitting.grid(schedule, 12)
    states = [torch.ones(1, 1).double() * (1 + level**2).sqrt() for level in along]
    told = [denoise(x, level) for x, level in zip(states[:-1], along, strict=False)]
    reference = level_fitting.Reference(along, states, told)
    starts = [states[0], *(math.inf * x for x in states[1:-1])]  # at the top alone
    missed = cast(Costs, level_fitting.costs(denoise, reference, ddim, starts, Rng([0])))
    on_the_way = level_fitting.gains(torch.ones(len(along), dtype=torch.float64))
    found = level_fitting.cheapest(missed.carried(on_the_way), [3])[3]

    def apart(path: Sequence[int]) -> float:
        """How far from 1 the walk along some levels of the grid ends."""
        levels = [*along[list(path)].tolist(), 0.0]
        end = float(states[0])
        for t, s in pairwise(levels):
            end *= 1 / (1 + t**2) + (s / t) * (1 - 1 / (1 + t**2))
        return abs(end - 1)

    every = combinations(range(1, len(along) - 1), 2)
    return Verdict(apart(found), min(apart([0, *path]) for path in every), 1e-12)


def exact_likelihood(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Log density in nats that the ODE finds for N(0, 1) data at 0.7, with the exact trace."""
    schedule = tables.linear()
    denoise = Denoiser(_Gaussian(), schedule, parameterizations.v, labels.index)
    x = torch.full((1, 1), 0.7, dtype=torch.float64)
    along = levels.logsnr(schedule, count=50)
    x = likelihood.at_lowest(schedule, x, along)
    *_, reached = likelihood.climb(denoise, x, along, heun, None)
    exact = -(0.7**2 + math.log(2 * math.pi)) / 2
    return Verdict(float(likelihood.log_density(schedule, reached)), exact, 5e-3)


def ancestral_variance(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Variance of 1000 ancestral steps with the posterior's variance on N(0, 1) data."""
    schedule = tables.linear()
    denoise = Denoiser(_Gaussian(), schedule, parameterizations.v, labels.index)
    along, rows = levels.trailing(schedule, count=1000), []
    # Rows of this length stay in a core's cache, and torch does not split them among threads.
    like = torch.empty(1, 30_000, dtype=torch.float64)
    for seed in range(4):
        rng = Rng([seed])
        x = start(denoise, along, like, rng)
        *_, last = walk(denoise, x, along, rng, predictor=partial(ddpm, variance="small"))
        rows.append(last.x)
    return Verdict(float(torch.cat(rows).var()), 0.99107, 0.014)


class _TwoPoints(nn.Module):
    """The exact eps-network for data that is -0.5 or 0.5 with equal chance."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule = schedule

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x [B, 1] in native scale, index [B] -> eps [B, 1]."""
        sigma = self._schedule.sigma((label.double() + 1) / (self._schedule.steps or 1))
        alpha = self._schedule.alpha(sigma)[:, None]
        deviation = alpha * sigma[:, None]
        x0 = 0.5 * torch.tanh(0.5 * alpha * x / deviation**2)
        return (x - alpha * x0) / deviation


def bayes_loss(device: torch.device, dtype: torch.dtype) -> Verdict:
    """L_simple of the exact network on the two-point toy, which no network can beat."""
    schedule = tables.linear()
    denoise = Denoiser(_TwoPoints(schedule), schedule, parameterizations.eps, labels.index)
    t = (torch.arange(1000, dtype=torch.float64) + 1) / 1000
    x0 = torch.where(torch.arange(100_000) % 2 == 0, 0.5, -0.5).double()[:, None]
    rng = _Shared(0)
    loss = simple(denoise, x0, t.repeat(100), rng)  # type: ignore[arg-type]
    return Verdict(float(loss.mean()), 0.092868, 0.004)


class Written(nn.Module):
    """The exact eps-network for numbers that a word tells apart, +-0.5 by its bytes, within 0.3.

    No text is told of both: E[x0 | x] is the mean of that of each word, weighted by p(word | x).
    """

    words, means, spread = ("red", "蓝"), (0.5, -0.5), 0.3

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self._schedule, self.recipe = schedule, text(length=8)
        self._rows = self.recipe.rows([None, *self.words])

    def forward(self, x: Tensor, label: Tensor, text: Tensor) -> Tensor:
        """x [B, 1] in native scale, index [B], rows of bytes [B, L] -> eps [B, 1]."""
        sigma = self._schedule.sigma((label.double() + 1) / (self._schedule.steps or 1))
        z, sigma = x / self._schedule.alpha(sigma)[:, None], sigma[:, None]
        mean = torch.tensor(self.means, dtype=x.dtype)
        scatter = self.spread**2 + sigma**2
        which = (text[:, None] == self._rows).all(2).double().argmax(1)[:, None]
        other = (which > 0) & (which != torch.arange(1, 3))
        chance = (-((z - mean) ** 2) / (2 * scatter)).masked_fill(other, -torch.inf).softmax(1)
        each = (self.spread**2 * z + sigma**2 * mean) / scatter
        return (z - (chance * each).sum(1, keepdim=True)) / sigma


def guided_text(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Mean of numbers whose word pulls them at scale 2 away from those of two words.

    Exact is what the same ODE gives to Runge and Kutta's method in 4000 steps.
    """
    return Verdict(float(written(2.0, "red").mean()), 0.6931, 5e-3)


def written(scale: float, word: str | None, count: int = 400) -> Tensor:
    """Samples [count, 1] of `Written` by Heun's method, of evenly spread noise."""
    schedule = tables.linear()
    network = Written(schedule)
    denoise = Denoiser(network, schedule, parameterizations.eps, labels.index)
    told, null = ({"text": network.recipe.rows([one] * count)} for one in (word, None))
    pair = Pair.of_nulls(denoise, told, null)
    guided = guidance(pair, cfg, name="cfg", scale=scale)
    along = levels.karras(schedule, count=60)
    even = (torch.arange(count, dtype=torch.float64)[:, None] + 0.5) / count
    x = torch.special.ndtri(even) * schedule.prior(along[0])
    *_, last = walk(guided, x, along, Rng([0]), predictor=heun)
    return last.x


class _Shared:
    """One generator for a whole batch of numbers that need no seeds of their own."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals like `like`."""
        return torch.randn(like.shape, generator=self._generator, dtype=like.dtype)


def convolution(device: torch.device, dtype: torch.dtype) -> Verdict:
    """Relative error of a 3x3 convolution in the number format in use, against float64."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(8, 64, 14, 14, generator=generator)
    weight = torch.randn(64, 64, 3, 3, generator=generator) / 24
    exact = F.conv2d(x.double(), weight.double(), padding=1)
    last = torch.channels_last
    measured = F.conv2d(
        x.to(device, dtype, memory_format=last),
        weight.to(device, dtype, memory_format=last),
        padding=1,
    )
    error = (measured.double().cpu() - exact).norm() / exact.norm()
    # TF32, which CUDA uses for float32 here, keeps 10 bits of the factors, bfloat16 7.
    return Verdict(float(error), 0, 1e-2 if dtype == torch.bfloat16 else 2e-3)


ORACLES: tuple[Oracle, ...] = (
    linear_schedule,
    ddim_on_gaussian,
    heun_order,
    fitted_levels,
    exact_likelihood,
    ancestral_variance,
    bayes_loss,
    guided_text,
    convolution,
)
