"""Latents: images walked up to noise, or noised, mixed there and walked down again."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.edits import reverse
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws, State, Step
from ddpm_cli.diffusion.walk import walk

Blend = Callable[[Tensor, Tensor, float], Tensor]

# Levels closer than this are one: solvers divide by the distance of two.
_SAME = 1e-6
# Below this angle (or this close to pi) a great circle is a line as far as float64 can tell.
_FLAT = 1e-6


class Silent:
    """The noise of a walk that must not need any."""

    def normal(self, like: Tensor) -> Tensor:
        """Refuse."""
        raise ValueError(
            "adds noise, so that no image would come back; use heun, ode, a dpm-solver, or ddim "
            "with eta 0"
        )


def encode(denoise: Denoise, x: Tensor, levels: Tensor, step: Step) -> Iterator[State]:
    """Walk states x [B, ...] up to levels[0], along the levels of a walk down turned round.

    They are those at the lowest positive level, for which images x0 [B, ...] are taken as they
    are: x = x0, as a walk down gives it but for the last denoising.  Who holds that the image is
    the papers' x_t at that level starts from schedule.from_native(x0, levels[-2]), as
    `likelihood.at_lowest` does.  A deterministic step solves the probability-flow ODE in either
    direction (DDIM: Song 2021, section 4.3).
    """
    up = reverse(levels)
    if len(up) < 2:
        raise ValueError("one level is no way from an image to noise; take 2 steps or more")
    return walk(denoise, x, up, Silent(), predictor=step, ascend=step)


def unit(schedule: Schedule, x: Tensor, sigma: Tensor) -> Tensor:
    """The state x at the level sigma in units of the process's prior: z = x / prior(sigma)."""
    return x / float(schedule.prior(sigma))


def state(schedule: Schedule, z: Tensor, sigma: Tensor) -> Tensor:
    """The inverse of `unit`."""
    return z * float(schedule.prior(sigma))


def noised(x0: Tensor, sigma: Tensor, rng: Draws) -> Tensor:
    """Draw from q(x_t given x0): x = x0 + sigma z (Ho 2020, eq. 4, divided by alpha)."""
    return x0 + float(sigma) * rng.normal(x0)


def level(schedule: Schedule, at: float, *, share: bool = False) -> Tensor:
    """The noise level of x_t, shaped [].

    t is the papers' 1..T if the process has T levels, else a time in (0, 1]; with `share` it is
    a share of the whole process, in (0, 1], of either kind.
    """
    steps = schedule.steps
    if share and not 0 < at <= 1:
        raise ValueError("a share of the process is more than 0% and at most 100%")
    if share and steps is not None:
        at = max(1, round(at * steps))
    if steps is None and not 0 < at <= 1:
        raise ValueError(f"{at:g} is no time of a continuous process; more than 0, at most 1")
    if steps is not None and (at != round(at) or not 1 <= at <= steps):
        raise ValueError(f"{at:g} is no step of this model; give a whole number from 1 to {steps}")
    with torch.no_grad():  # a learned schedule is a network
        return schedule.sigma(torch.tensor(at / (steps or 1), dtype=torch.float64))


def below(levels: Tensor, sigma: Tensor) -> Tensor:
    """The descending levels from sigma on: a walk that starts there instead of at levels[0]."""
    first = torch.as_tensor(sigma, dtype=levels.dtype).reshape(1)
    return torch.cat([first, levels[levels < first * (1 - _SAME)]])


def lerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The straight line from a to b [B, ...]: (1 - share) a + share b."""
    return torch.lerp(a, b, share)


def slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    """The great circle from a to b [B, ...], which keeps the length of unit noise.

    sin((1 - u) w) / sin w a + sin(u w) / sin w b, w the angle between a and b (Shoemake 1985;
    DDIM: Song 2021, appendix D.5). Where there is no such circle it is the straight line.
    """
    rows, others = a.flatten(1), b.flatten(1)
    lengths = rows.norm(dim=1) * others.norm(dim=1)
    cosine = (rows * others).sum(1) / torch.where(lengths > 0, lengths, 1)
    angle = cosine.clamp(-1, 1).acos()
    sine = angle.sin()
    curved = (lengths > 0) & (sine > _FLAT)
    sine = torch.where(curved, sine, 1)
    first = torch.where(curved, ((1 - share) * angle).sin() / sine, 1 - share)
    second = torch.where(curved, (share * angle).sin() / sine, share)
    return column(first, a) * a + column(second, b) * b


# How far from an end to the next at a share of the time: slower at both ends, the first, the last.
EASINGS: dict[str, Callable[[float], float]] = {
    "linear": lambda u: u,
    "smooth": lambda u: u * u * (3 - 2 * u),
    "in": lambda u: u * u,
    "out": lambda u: u * (2 - u),
}


def positions(ends: int, count: int, easing: str = "linear") -> list[float]:
    """Places 0 .. ends - 1 on a path through `ends` points, count from each to the next."""
    if count < 2:
        raise ValueError("give 2 frames or more, the two ends")
    shares = [EASINGS[easing](i / (count - 1)) for i in range(count - 1)]
    between = [first + share for first in range(ends - 1) for share in shares]
    return [*between, ends - 1.0]


def path(ends: Tensor, places: list[float], blend: Blend) -> Tensor:
    """Points at the places (see `positions`) of the path through the ends [E, ...]."""
    legs = list(pairwise(torch.split(ends, 1)))
    chosen = [min(int(place), len(legs) - 1) for place in places]
    return torch.cat([blend(*legs[leg], p - leg) for leg, p in zip(chosen, places, strict=True)])
