"""Lists of noise levels for a walk: (schedule, *, knobs) -> float64 [n + 1], the last one 0.

Spacings of a discrete process choose among its trained levels; duplicates are dropped, so the
list is strictly decreasing.  On a continuous process they are the same rules for real times, as
if it had T = 1000 levels and places between them.
"""

import math
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.settings.knobs import (
    Counts,
    Curvature,
    LevelCount,
    LevelIndex,
    LevelIndices,
    NonNegative,
    Numbers,
    Positive,
    Ratio,
    Share,
)

SECTIONS = (10, 15, 20)


def trailing(schedule: Schedule, *, count: LevelCount = 50) -> Tensor:
    """Evenly spaced indices that include the noisiest, T-1, not index 0 (Lin 2024, table 2)."""
    steps = _size(schedule, count)
    descending = steps - torch.arange(count, dtype=torch.float64) * steps / count
    return _at(schedule, _whole(schedule, descending) - 1)


def leading(
    schedule: Schedule,
    *,
    count: LevelCount = 50,
    offset: LevelIndex = 0,
    ends: Literal["low", "none"] = "low",
) -> Tensor:
    """Multiples of T // count from index 0 up, shifted by offset; DDIM's and diffusers' habit.

    ends: none is diffusers' habit for DPM-Solver, multiples of T // (count + 1) but for 0 itself.
    """
    steps, without = _size(schedule, count), int(ends == "none")
    parts = count + without
    stride = steps / parts if schedule.steps is None else steps // parts
    ascending = torch.arange(without, parts, dtype=torch.float64) * stride + offset
    if offset and ascending[-1] > steps - 1:
        raise ValueError(f"offset {offset} leads beyond the last of {steps} levels; lower it")
    return _at(schedule, ascending.flip(0))


def stride(schedule: Schedule, *, count: LevelCount = 50) -> Tensor:
    """Multiples of the smallest stride that gives count levels (Nichol 2021's code, ddimN)."""
    steps = _size(schedule, count)
    step = -(-steps // count)
    if len(range(0, steps, step)) != count:
        raise ValueError(f"no stride gives {count} of {steps} levels; use leading or trailing")
    return _at(schedule, torch.arange(0, steps, step, dtype=torch.float64).flip(0))


def sections(schedule: Schedule, *, counts: Counts = SECTIONS) -> Tensor:
    """Equal sections of the process, from its clean end, with so many even steps in each.

    Each section's steps include both of its ends (Nichol 2021, section 4).
    """
    if not counts:
        raise ValueError("counts is empty; give the number of steps of each section")
    steps = _size(schedule, sum(counts))
    short, longer = divmod(steps, len(counts))
    first, ascending = 0, []
    for i, count in enumerate(counts):
        size = short + (i < longer)
        if count > size:
            raise ValueError(f"section {i + 1} has {size} levels, too few for {count} steps")
        # Strides are summed up as in the original: places such as 49.5 round as they do there.
        strides = [(size - 1) / max(count - 1, 1)] * (count - 1)
        places = torch.tensor([*accumulate(strides, initial=0.0)], dtype=torch.float64)
        ascending.append(first + _whole(schedule, places))
        first += size
    return _at(schedule, torch.cat(ascending).flip(0))


def linspace(
    schedule: Schedule,
    *,
    count: LevelCount = 50,
    ends: Literal["both", "top"] = "both",
    shift: Ratio = 1.0,
) -> Tensor:
    """Evenly spaced indices that include both ends, 0 and T-1 (Nichol 2021).

    ends: top is diffusers' habit for DPM-Solver, one index more, of which 0 is left out.
    shift: multiplies every level, within their range, for flows at high resolutions (Esser 2024,
    eq. 23); the lowest twice, as in diffusers.
    """
    steps = _size(schedule, count)
    without, low = ends == "top", schedule.sigma(torch.tensor(1 / steps, dtype=torch.float64))
    last = float(schedule.time(shift * low)) * steps - 1 if shift != 1 else 0.0
    descending = torch.linspace(steps - 1, last, count + without, dtype=torch.float64)
    levels = _at(schedule, _whole(schedule, descending[:count]))
    if shift == 1:
        return levels
    return _closed((shift * levels[:-1]).clamp(*_ends(schedule)))


def quadratic(schedule: Schedule, *, count: LevelCount = 50, reach: Share = 0.8) -> Tensor:
    """Squares of evenly spaced roots up to reach * T: more of the low levels (Song 2021, D.2)."""
    steps = _size(schedule, count)
    top = math.sqrt(min(reach * steps, steps - 1))
    ascending = torch.linspace(0, top, count, dtype=torch.float64) ** 2
    return _at(schedule, (ascending if schedule.steps is None else ascending.floor()).flip(0))


def karras(
    schedule: Schedule,
    *,
    count: LevelCount = 50,
    rho: Curvature = 7.0,
    low: NonNegative = 0.002,
    high: Positive = 80.0,
) -> Tensor:
    """Levels evenly spaced in sigma^(1 / rho), within the range of the schedule.

    sigma_i = (high^(1/rho) + i / (n - 1) (low^(1/rho) - high^(1/rho)))^rho (Karras 2022, eq. 5).
    """
    low, high = _clamped(schedule, low, high)
    try:
        ends = high ** (1 / rho), low ** (1 / rho)
    except OverflowError:
        raise ValueError(f"rho {rho:g}: {high:g}^(1 / rho) is beyond all numbers; use 7") from None
    return _closed(torch.linspace(*ends, count, dtype=torch.float64) ** rho)


def logsnr(
    schedule: Schedule, *, count: LevelCount = 50, low: Positive = 0.002, high: Positive = 160.0
) -> Tensor:
    """Levels evenly spaced in log sigma, within the range of the schedule (Lu 2022, section 4).

    The levels lie between the trained ones.  `high` cuts the top off schedules such as the
    cosine, whose last level of 20,291 would take a third of the steps and tell nothing.
    """
    low, high = _clamped(schedule, low, high)
    return _closed(torch.linspace(math.log(high), math.log(low), count, dtype=torch.float64).exp())


def explicit(
    schedule: Schedule, *, timesteps: LevelIndices | None = None, sigmas: Numbers | None = None
) -> Tensor:
    """The levels themselves, as indices 0..T-1 of the trained table or as sigmas in its range."""
    if (timesteps is None) == (sigmas is None):
        raise ValueError("explicit levels need either timesteps or sigmas")
    if sigmas is not None:
        chosen = torch.tensor(sorted(sigmas, reverse=True), dtype=torch.float64)
        return _closed(chosen[chosen > 0].clamp(*_ends(schedule)))
    steps = _size(schedule, 1)
    if min(timesteps or [0]) < 0 or max(timesteps or [0]) >= steps:
        raise ValueError(f"timesteps must lie between 0 and {steps - 1}")
    return _at(schedule, torch.tensor(sorted(timesteps or [], reverse=True), dtype=torch.float64))


def fitted(
    schedule: Schedule,
    *,
    count: LevelCount = 10,
    file: str = "",
    sigmas: Numbers = [],  # noqa: B006  (read, never changed)
) -> Tensor:
    """Levels that ddpm fit found to bring samples closest to the model's own ODE.

    file: where they are, by default beside the model.  sigmas: the levels themselves; once a model
    is opened they stand in the place of the file.
    """
    if not sigmas:
        raise ValueError("none of this model are known; type: ddpm fit MODEL --levels 5,10")
    if len(sigmas) != count:
        raise ValueError(f"count {count} asked for, but {len(sigmas)} sigmas are given")
    return explicit(schedule, sigmas=sigmas)


def _size(schedule: Schedule, count: int) -> int:
    """The number of levels to choose from, if `count` can be chosen."""
    if schedule.steps is not None and count > schedule.steps:
        raise ValueError(
            f"{count} steps asked for, but the model was trained with {schedule.steps}; "
            f"use at most {schedule.steps}"
        )
    return schedule.steps or 1000


def _whole(schedule: Schedule, index: Tensor) -> Tensor:
    """Whole indices where there is nothing between them."""
    return index if schedule.steps is None else index.round()


def _ends(schedule: Schedule) -> tuple[float, float]:
    """The lowest and the highest level of the process."""
    low, high = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    return low, high


def _clamped(schedule: Schedule, low: float, high: float) -> tuple[float, float]:
    """The ends low and high, moved into the range of the process."""
    bottom, top = _ends(schedule)
    low, high = max(low, bottom), min(high, top)
    if low > high:
        raise ValueError(f"low {low:g} is above high {high:g}")
    return low, high


def _at(schedule: Schedule, descending: Tensor) -> Tensor:
    """Levels at the indices 0..T-1 of the trained table."""
    steps = schedule.steps or 1000
    return _closed(schedule.sigma((descending.clamp(0, steps - 1) + 1) / steps))


def _closed(descending: Tensor) -> Tensor:
    """Drop repeated and non-positive levels and end at 0."""
    unique = torch.unique_consecutive(descending[descending > 0].detach())
    if not len(unique):
        raise ValueError("no positive noise level is left to start from")
    return torch.cat([unique, torch.zeros(1, dtype=torch.float64)])
