"""A schedule that is trained with the network (Kingma 2021, Variational Diffusion Models)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.diffusion.schedules.schedule import Schedule
from ddpm_cli.diffusion.shapes import double, within
from ddpm_cli.settings.knobs import LevelIndex, Logarithm, Width

_BISECTIONS = 60


class learned(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """A monotone network gives -log SNR, its end points are trained too.

    gamma(t) = start + (end - start) * shape(t), sigma^2 = exp(gamma), alpha^2 = sigmoid(-gamma)
    (Kingma 2021, eq. 3 and appendix H).  shape rises from 0 to 1 because all weights of its
    network are positive: g(t) = l1(t) + l3(sigmoid(l2(l1(t)))).
    """

    levels, previous = Schedule.levels, Schedule.previous
    native, from_native = Schedule.native, Schedule.from_native

    def __init__(
        self,
        *,
        start: Logarithm = -13.3,
        end: Logarithm = 5.0,
        width: Width = 1024,
        steps: LevelIndex = 0,
    ) -> None:
        super().__init__()
        if start >= end:
            raise ValueError(f"start {start:g} must be below end {end:g}")
        self.steps: int | None = steps or None
        self.start = nn.Parameter(torch.tensor(float(start)))
        self.end = nn.Parameter(torch.tensor(float(end)))
        self.slope = nn.Parameter(torch.tensor(1.0))
        self.inner = nn.Parameter(torch.linspace(-2, 2, width))
        self.offset = nn.Parameter(torch.linspace(4, -4, width))
        self.outer = nn.Parameter(torch.full((width,), -4.0))

    def shape(self, t: Tensor) -> Tensor:
        """The rise from 0 at t = 0 to 1 at t = 1, in float64 on the CPU."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
        first, last = self._rise(ends)
        risen: Tensor = (self._rise(double(t)) - first) / (last - first)
        return risen

    def _rise(self, t: Tensor) -> Tensor:
        slope, inner, outer = (
            F.softplus(w.cpu().double()) for w in (self.slope, self.inner, self.outer)
        )
        line = slope * t
        bent = torch.sigmoid(line[..., None] * inner + self.offset.cpu().double())
        return line + (bent * outer).mean(-1)

    def gamma(self, t: Tensor) -> Tensor:
        """-log SNR at time t: start + (end - start) * shape(t)."""
        start, end = self.start.cpu().double(), self.end.cpu().double()
        return start + (end - start) * self.shape(t)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level exp(gamma / 2) at time t, differentiable."""
        return torch.exp(self.gamma(within(double(t), 1 / (self.steps or 2**30), 1)) / 2)

    @torch.no_grad()
    def time(self, sigma: Tensor) -> Tensor:
        """Time of a noise level, by bisection."""
        gamma = 2 * double(sigma).log()
        low, high = torch.zeros_like(gamma), torch.ones_like(gamma)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            below = self.gamma(middle) < gamma
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def alpha(self, sigma: Tensor) -> Tensor:
        """1 / sqrt(1 + sigma^2): the variance is preserved."""
        return (1 + double(sigma) ** 2).rsqrt()

    def prior(self, sigma: Tensor) -> Tensor:
        """sqrt(1 + sigma^2): x_1 is a unit normal in the native scale."""
        return 1 / self.alpha(sigma)
