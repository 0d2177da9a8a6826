"""Processes given by functions of a continuous time t in [0, 1]: Score SDE, NCSN and EDM.

`steps` makes such a process discrete: it is then trained at the times 1/T, 2/T .. 1 alone.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules.schedule import Schedule
from ddpm_cli.diffusion.shapes import double, within
from ddpm_cli.settings.knobs import Curvature, LevelCount, LevelIndex, Rate, Sigma, Time

Map = Callable[[Tensor], Tensor]


class Process:
    """A schedule made of four functions; times are clamped to [low, 1]."""

    levels, previous = Schedule.levels, Schedule.previous
    native, from_native = Schedule.native, Schedule.from_native

    def __init__(
        self,
        sigma: Map,
        time: Map,
        *,
        alpha: Map = torch.ones_like,
        prior: Map = torch.clone,
        low: float = 0.0,
        steps: int = 0,
    ) -> None:
        """Take sigma(t), its inverse time(sigma), and the native scale and prior at a sigma.

        Without `alpha` and `prior` the variance explodes: alpha is 1, and x starts as sigma * z.
        """
        self.steps: int | None = steps or None
        self._sigma, self._time, self._alpha, self._prior = sigma, time, alpha, prior
        self._low = max(low, 1 / steps if steps else 0.0)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at time t."""
        return self._sigma(within(double(t), self._low, 1))

    def time(self, sigma: Tensor) -> Tensor:
        """Time of a noise level."""
        return self._time(double(sigma)).clamp(self._low, 1)

    def alpha(self, sigma: Tensor) -> Tensor:
        """Native scale at a noise level."""
        return self._alpha(double(sigma))

    def prior(self, sigma: Tensor) -> Tensor:
        """Standard deviation of x at the start of a walk."""
        return self._prior(double(sigma))


def vp(
    *, first: Rate = 0.1, last: Rate = 20.0, low: Time = 1e-5, steps: LevelIndex = 0
) -> Process:
    """The variance-preserving SDE, beta(t) linear from first to last; low is the earliest time.

    log alpha = -t^2 (last - first) / 4 - t first / 2 (Song 2021, eq. 33), sigma^2 = 1 /
    alpha^2 - 1.
    """
    integral, inverse = _linear_beta(first, last)
    return Process(
        lambda t: torch.expm1(2 * integral(t)).sqrt(),
        lambda sigma: inverse(torch.log1p(sigma**2) / 2),
        alpha=lambda sigma: (1 + sigma**2).rsqrt(),
        prior=lambda sigma: (1 + sigma**2).sqrt(),
        low=low,
        steps=steps,
    )


def subvp(
    *, first: Rate = 0.1, last: Rate = 20.0, low: Time = 1e-5, steps: LevelIndex = 0
) -> Process:
    """The sub-VP SDE: VP's signal with less noise; low is the earliest time.

    sigma_t = 1 - alpha^2 (Song 2021, eq. 29), so sigma = 1 / alpha - alpha = 2 sinh(-log alpha).
    """
    integral, inverse = _linear_beta(first, last)
    return Process(
        lambda t: 2 * torch.sinh(integral(t)),
        lambda sigma: inverse(torch.asinh(sigma / 2)),
        alpha=lambda sigma: torch.exp(-torch.asinh(sigma / 2)),
        prior=lambda sigma: torch.exp(torch.asinh(sigma / 2)),
        low=low,
        steps=steps,
    )


def ve(*, low: Sigma = 0.01, high: Sigma = 50.0, steps: LevelIndex = 0) -> Process:
    """The variance-exploding SDE: sigma(t) = low (high / low)^t (Song 2021, eq. 30)."""
    span = _span(low, high)
    return Process(
        lambda t: low * torch.exp(span * t), lambda sigma: (sigma / low).log() / span, steps=steps
    )


def geometric(*, steps: LevelCount = 10, low: Sigma = 0.01, high: Sigma = 1.0) -> Process:
    """NCSN's levels: a geometric sequence that includes both ends (Song 2019, section 4.1).

    sigma_i = low (high / low)^(i / (T - 1)), i = 0 .. T-1.  The paper's ends are for data in
    [0, 1]; data in [-1, 1] needs twice as much.
    """
    span, last = _span(low, high), max(steps - 1, 1)
    return Process(
        lambda t: low * torch.exp(span * (t * steps - 1) / last),
        lambda sigma: ((sigma / low).log() / span * last + 1) / steps,
        steps=steps,
    )


def edm(
    *, low: Sigma = 0.002, high: Sigma = 80.0, rho: Curvature = 7.0, steps: LevelIndex = 0
) -> Process:
    """EDM's range of levels, time running evenly in sigma^(1 / rho) (Karras 2022, eq. 5)."""
    _span(low, high)
    start, end = low ** (1 / rho), high ** (1 / rho)
    return Process(
        lambda t: (start + t * (end - start)) ** rho,
        lambda sigma: (sigma ** (1 / rho) - start) / (end - start),
        steps=steps,
    )


def flow(*, steps: LevelIndex = 0, low: Time = 1e-5, high: Time = 0.99999) -> Process:
    """Straight paths between data and noise, x_t = (1 - t) x0 + t eps (Lipman 2023; Liu 2023).

    sigma = t / (1 - t), alpha = 1 / (1 + sigma).  At t = 1 sigma is infinite: t = high stands
    for all from there on.
    """
    if low >= high:
        raise ValueError(f"low {low:g} must be below high {high:g}")
    most = high / (1 - high)

    def time(sigma: Tensor) -> Tensor:
        return torch.where(sigma >= most * (1 - 1e-9), 1.0, sigma / (1 + sigma))

    return Process(
        lambda t: torch.where(t >= high, most, t / (1 - t.clamp(max=high))),
        time,
        alpha=lambda sigma: 1 / (1 + sigma),
        prior=lambda sigma: 1 + sigma,
        low=low,
        steps=steps,
    )


def _linear_beta(first: float, last: float) -> tuple[Map, Map]:
    """-log alpha(t), half the integral of beta, and its inverse by the quadratic formula."""
    square, line = (last - first) / 4, first / 2

    def integral(t: Tensor) -> Tensor:
        return square * t**2 + line * t

    def inverse(value: Tensor) -> Tensor:
        return 2 * value / (line + (line**2 + 4 * square * value).clamp(min=0).sqrt())

    return integral, inverse


def _span(low: float, high: float) -> float:
    """log(high / low) of a range that must not be empty."""
    if low >= high:
        raise ValueError(f"low {low:g} must be below high {high:g}")
    return math.log(high / low)
