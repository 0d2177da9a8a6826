"""Networks whose data lie in another interval than [-1, 1], seen from states in [-1, 1].

With u = half x + center the network's own state is u = u0 + (half sigma) eps: whatever its
process is, the same one with levels divided by `half` makes our states.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ddpm_cli.diffusion.parameterizations import Coefficients
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.settings.knobs import Coordinate

Parameterization = Callable[[Tensor, Schedule], Coefficients]
Label = Callable[[Tensor, Schedule], Tensor]


class Units(NamedTuple):
    """Where the data of a network lie: from center - half to center + half."""

    center: float = 0.0
    half: float = 1.0

    def schedule(self, inner: Schedule) -> Schedule:
        """The network's process as it is for data in [-1, 1]."""
        return inner if self.half == 1 else Stretched(inner, self.half)

    def parameterization(self, inner: Parameterization) -> Parameterization:
        """Coefficients for states in [-1, 1] of the process that `schedule` gives.

        x0 = (skip u + out F - center) / half with F = network(scale u): skip stays, out is
        divided by half, scale multiplied; see `shifts` for what center adds.
        """

        def seen(sigma: Tensor, schedule: Schedule) -> Coefficients:
            skip, out, scale = inner(sigma * self.half, _inner(schedule))
            return Coefficients(skip, out / self.half, scale * self.half)

        return inner if self.half == 1 else seen

    def label(self, inner: Label) -> Label:
        """The label of the network's own level."""

        def seen(sigma: Tensor, schedule: Schedule) -> Tensor:
            return inner(sigma * self.half, _inner(schedule))

        return inner if self.half == 1 else seen

    def shifts(self, coefficients: Coefficients) -> tuple[Tensor, Tensor] | None:
        """What is added to the network's input and to x0, [] or [B]; None of nothing.

        scale center in the network's own scale, and (skip - 1) center / half.
        """
        if self.center == 0:
            return None
        ratio = self.center / self.half
        return coefficients.scale * ratio, (coefficients.skip - 1) * ratio


USUAL = Units()


def units(*, low: Coordinate = -1.0, high: Coordinate = 1.0) -> Units:
    """Where the data lie that a network was trained on: [0, 1] of some projects' models.

    low, high: the values of black and white.
    """
    if low >= high:
        raise ValueError(f"low {low:g} must be below high {high:g}")
    return Units((low + high) / 2, (high - low) / 2)


class Stretched:
    """A process whose states were divided by a factor."""

    levels, previous = Schedule.levels, Schedule.previous
    native, from_native = Schedule.native, Schedule.from_native

    def __init__(self, inner: Schedule, factor: float) -> None:
        self.inner, self.factor = inner, factor
        self.steps = inner.steps

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level at time t."""
        return self.inner.sigma(t) / self.factor

    def time(self, sigma: Tensor) -> Tensor:
        """Time of a noise level."""
        return self.inner.time(sigma * self.factor)

    def alpha(self, sigma: Tensor) -> Tensor:
        """Native scale at a noise level."""
        return self.inner.alpha(sigma * self.factor)

    def prior(self, sigma: Tensor) -> Tensor:
        """Standard deviation of x at the start of a walk."""
        return self.inner.prior(sigma * self.factor) / self.factor


def _inner(schedule: Schedule) -> Schedule:
    return schedule.inner if isinstance(schedule, Stretched) else schedule
