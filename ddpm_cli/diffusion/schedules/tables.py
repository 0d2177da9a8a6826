"""Processes given by a table of noise levels: DDPM, cosine, latent diffusion, your own.

Between the entries the logarithm of alpha is linear.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules.schedule import Schedule
from ddpm_cli.diffusion.shapes import double, within
from ddpm_cli.settings.knobs import Beta, LevelCount, Numbers, Share, Spread

# A table whose last alpha is 0 (zero terminal signal) stands for sigma = infinity; that entry
# alone is replaced by a level which no float64 computation can tell from it.
TERMINAL_SIGMA = 1e6


class Table:
    """A variance-preserving process given by its betas, log alpha linear between the entries.

    Entry i (0-based; the papers' i + 1) lies at t = (i + 1) / T.  Times before the first entry
    are taken as the first.  Interpolating log alpha, not log sigma, is what DPM-Solver's
    discrete schedule does (Lu 2022, appendix D.2).
    """

    levels, previous = Schedule.levels, Schedule.previous
    native, from_native = Schedule.native, Schedule.from_native

    def __init__(self, betas: Tensor, *, continuous: bool = False) -> None:
        """Take betas [T]; `continuous` allows every time between the entries in training too."""
        betas = betas.double()
        self.steps: int | None = None if continuous else len(betas)
        self.log_alpha = torch.log1p(-betas).cumsum(0) / 2
        if betas[-1] >= 1:
            before = _sigma_of(self.log_alpha[-2]) if len(betas) > 1 else torch.zeros(())
            end = max(TERMINAL_SIGMA, 10 * float(before))
            self.log_alpha[-1] = -math.log1p(end**2) / 2
        self._ascending = -self.log_alpha  # for searches, which every network call makes

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at time t, t clamped to [1 / T, 1]."""
        count = len(self.log_alpha)
        at = within(double(t) * count - 1, 0, count - 1)
        at = _entry(at)
        low = at.floor().long().clamp(max=max(count - 2, 0))
        high = (low + 1).clamp(max=count - 1)
        return _sigma_of(torch.lerp(self.log_alpha[low], self.log_alpha[high], at - low))

    def time(self, sigma: Tensor) -> Tensor:
        """Time of the noise level sigma, clamped to [1 / T, 1]."""
        sigma = double(sigma)
        count = len(self.log_alpha)
        if count == 1:
            return torch.ones_like(sigma)
        value = -_log_alpha_of(sigma)
        high = torch.searchsorted(self._ascending, value).clamp(1, count - 1)
        start, end = self._ascending[high - 1], self._ascending[high]
        return _entry(high + ((value - start) / (end - start)).clamp(0, 1)) / count

    def alpha(self, sigma: Tensor) -> Tensor:
        """1 / sqrt(1 + sigma^2): the variance alpha^2 + sigma_t^2 is preserved at 1."""
        return (1 + double(sigma) ** 2).rsqrt()

    def prior(self, sigma: Tensor) -> Tensor:
        """sqrt(1 + sigma^2): x_T is a unit normal in the native scale."""
        return 1 / self.alpha(sigma)

    def betas(self) -> Tensor:
        """beta_i = 1 - abar_i / abar_(i-1), shape [T]."""
        return -torch.expm1(2 * torch.diff(self.log_alpha, prepend=torch.zeros(1).double()))


def _entry(at: Tensor) -> Tensor:
    """Places in a table, those next to an entry moved onto it, their slope kept.

    Times such as 0.3 * 1000 land there, and levels whose logarithm was rounded another way.
    """
    return at + torch.where((at - at.round()).abs() < 1e-9, at.round() - at, 0.0).detach()


def _sigma_of(log_alpha: Tensor) -> Tensor:
    """sqrt(1 / alpha^2 - 1) without cancellation near alpha = 1."""
    return torch.expm1(-2 * log_alpha).sqrt()


def _log_alpha_of(sigma: Tensor) -> Tensor:
    """-log(1 + sigma^2) / 2, the inverse of `_sigma_of`."""
    return -torch.log1p(sigma**2) / 2


def linear(
    *,
    steps: LevelCount = 1000,
    first: Beta = 1e-4,
    last: Beta = 0.02,
    rescale: bool = True,
    zero_terminal: bool = False,
    continuous: bool = False,
) -> Table:
    """Betas rising linearly, rescaled by 1000 / T for other T.

    beta_i = linspace(first * 1000 / T, last * 1000 / T, T) (Ho 2020, section 4; the rescaling
    is Nichol 2021's).  Without rescale they run from first to last whatever T is.
    """
    low, high = _rescaled(steps, first, last) if rescale else (first, last)
    betas = torch.linspace(low, high, steps, dtype=torch.float64)
    return Table(_terminated(betas) if zero_terminal else betas, continuous=continuous)


def scaled_linear(
    *,
    steps: LevelCount = 1000,
    first: Beta = 8.5e-4,
    last: Beta = 0.012,
    rescale: bool = True,
    zero_terminal: bool = False,
    continuous: bool = False,
) -> Table:
    """Square roots of the betas rising linearly, rescaled by 1000 / T for other T.

    beta_i = linspace(sqrt(first), sqrt(last), T)^2, latent diffusion's habit (Rombach 2022).
    Without rescale they run from first to last whatever T is.
    """
    low, high = _rescaled(steps, first, last) if rescale else (first, last)
    betas = torch.linspace(low**0.5, high**0.5, steps, dtype=torch.float64) ** 2
    return Table(_terminated(betas) if zero_terminal else betas, continuous=continuous)


def sigmoid(
    *,
    steps: LevelCount = 1000,
    first: Beta = 1e-4,
    last: Beta = 0.02,
    spread: Spread = 6.0,
    rescale: bool = True,
    continuous: bool = False,
) -> Table:
    """Betas on a logistic curve, rescaled by 1000 / T for other T.

    beta_i = first + (last - first) * sigmoid(linspace(-spread, spread, T)) (Song 2021's code).
    Without rescale they run from first to last whatever T is.
    """
    low, high = _rescaled(steps, first, last) if rescale else (first, last)
    curve = torch.linspace(-spread, spread, steps, dtype=torch.float64).sigmoid()
    return Table(low + (high - low) * curve, continuous=continuous)


def cosine(
    *,
    steps: LevelCount = 1000,
    offset: Share = 0.008,
    cap: Share = 0.999,
    continuous: bool = False,
) -> Table:
    """Squared-cosine cumulative signal, betas capped; a cap of 1 ends in pure noise.

    abar(u) = cos^2((u + offset) / (1 + offset) * pi / 2), beta_i = min(1 - abar(u_(i+1)) /
    abar(u_i), cap) with u_i = i / T (Nichol 2021, eq. 17).
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    abar = torch.cos((u + offset) / (1 + offset) * (math.pi / 2)) ** 2
    return Table((1 - abar[1:] / abar[:-1]).clamp(max=min(cap, 1.0)), continuous=continuous)


def table(
    *,
    file: str = "",
    values: Numbers = [],  # noqa: B006  (read, never changed)
    holds: Literal["beta", "abar", "sigma"] = "beta",
    continuous: bool = False,
) -> Table:
    """A table of your own: betas, cumulative signals abar or levels sigma, least noisy first.

    `file` has one number a line; training keeps the numbers themselves in the checkpoint.
    """
    if not values:
        raise ValueError(f"no values{f' were read from {file}' if file else '; give a file'}")
    entries = torch.tensor(values, dtype=torch.float64)
    if holds == "beta":
        betas = entries
    else:
        abar = entries if holds == "abar" else 1 / (1 + entries**2)
        betas = 1 - abar / torch.cat([torch.ones(1, dtype=torch.float64), abar[:-1]])
    wrong = ((betas <= 0) | (betas > 1)).nonzero()
    if len(wrong) or bool((betas[:-1] == 1).any()):
        where = int(wrong[0]) if len(wrong) else int((betas[:-1] == 1).nonzero()[0])
        raise ValueError(f"entry {where} ({values[where]:g}) does not add noise; check {holds}")
    return Table(betas, continuous=continuous)


def _rescaled(steps: int, first: float, last: float) -> tuple[float, float]:
    """The ends of a table of betas for T steps: the total noise stays that of T = 1000."""
    scale = 1000 / steps
    if max(first, last) * scale >= 1:
        fix = f"--set 'schedule={{name=\"vp\", steps={steps}}}'"
        raise ValueError(f"steps {steps} is too few: beta would reach {last * scale:g}; {fix}")
    return first * scale, last * scale


def _terminated(betas: Tensor) -> Tensor:
    """Shift and scale sqrt(abar) so that it ends at 0 (Lin 2024, algorithm 1)."""
    root = torch.cumprod(1 - betas, 0).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    abar = root**2
    return 1 - torch.cat([abar[:1], abar[1:] / abar[:-1]])
