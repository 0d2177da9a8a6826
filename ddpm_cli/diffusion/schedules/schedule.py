"""What a noise schedule is: which noise levels a process visits and at which input scale.

Every Gaussian process is written as x = x0 + sigma * eps with sigma = sigma_t / alpha_t; a
schedule maps the time t in [0, 1] to sigma and back, and knows the native scale alpha(sigma).
"""

from typing import Protocol

from torch import Tensor


class Schedule(Protocol):
    """What samplers and losses ask of a schedule; times and levels are float64 tensors.

    steps: number of trained levels T, or None if the process is continuous.
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
