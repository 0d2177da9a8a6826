"""What a noise schedule is: which noise levels a process visits and at which input scale.

Every Gaussian process is written as x = x0 + sigma * eps with sigma = sigma_t / alpha_t; a
schedule maps the time t in [0, 1] to sigma and back, and knows the native scale alpha(sigma).
"""

from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.shapes import column


class Schedule(Protocol):
    """What samplers and losses ask of a schedule; times and levels are float64 tensors.

    steps: number of trained levels T, or None if the process is continuous.

    A schedule of its own has `steps` and the first four methods.  The others follow from them
    and are taken over as they are: `levels = Schedule.levels`.
    """

    steps: int | None

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level sigma_t / alpha_t at time t in [0, 1]."""

    def time(self, sigma: Tensor) -> Tensor:
        """Time t in [0, 1] at which the process has the noise level sigma."""

    def alpha(self, sigma: Tensor) -> Tensor:
        """Native scale alpha at the noise level sigma: the network sees alpha * x."""

    def prior(self, sigma: Tensor) -> Tensor:
        """Standard deviation of x at the start of a walk from the noise level sigma."""

    @property
    @torch.no_grad()
    def levels(self) -> Tensor:
        """The trained levels of a discrete process, [T] ascending: index i is the papers' i + 1.

        Below levels[0] there is the clean image alone, level 0, where walks end and which no
        network sees.
        """
        if self.steps is None:
            raise ValueError("this process is continuous: it has no levels to choose among")
        return self.sigma(torch.arange(1, self.steps + 1, dtype=torch.float64) / self.steps)

    def previous(self, sigma: Tensor) -> Tensor:
        """The level one index below sigma, as s of the papers' step from t to s = t - 1.

        It is 0, the clean image, from the lowest trained level on.  A continuous process counts
        as one of T = 1000.
        """
        steps, time = self.steps or 1000, self.time(sigma)
        return torch.where(time > 1 / steps + 1e-9, self.sigma(time - 1 / steps), 0.0)

    def native(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The papers' x_t = alpha x of a state x [B, ...] at the level sigma ([] or [B])."""
        return column(self.alpha(sigma), x) * x

    def from_native(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The way back: the state x_t / alpha of the papers' x_t [B, ...]."""
        return x / column(self.alpha(sigma), x)
