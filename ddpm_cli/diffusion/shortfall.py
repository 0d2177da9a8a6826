"""What a list of noise levels lacks of what its knobs ask for, in words."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule

_SAME = 1e-3  # ends that differ by less are the process's own, rounded


def shortfall(
    schedule: Schedule,
    levels: Tensor,
    *,
    count: int | None = None,
    counts: Sequence[int] | None = None,
    timesteps: Sequence[int] | None = None,
    sigmas: Sequence[float] | None = None,
    low: float | None = None,
    high: float | None = None,
) -> list[str]:
    """What was dropped, as repeated, or moved into the range of the process; [] if nothing.

    levels: the list [n + 1] that a function of `levels` made of these knobs.
    """
    asked_for = max(
        count or 0,
        sum(counts or ()),
        len(timesteps or ()),
        sum(sigma != 0 for sigma in sigmas or ()),  # the list ends at 0 anyway
    )
    words, dropped = [], asked_for - (len(levels) - 1)
    if dropped > 0:
        words.append(f"{dropped} of {asked_for} levels repeat others and are left out")
    bottom, top = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist()
    beyond = sum(not bottom <= sigma <= top for sigma in sigmas or () if sigma > 0)
    if beyond:
        ends = f"{bottom:.4g} to {top:.4g}"
        words.append(f"{beyond} lie beyond the process, {ends}, and are moved to its ends")
    if low is not None and low < bottom * (1 - _SAME):
        words.append(f"low {low:g} is below the process and moved to {bottom:.4g}")
    if high is not None and high > top * (1 + _SAME):
        words.append(f"high {high:g} is above the process and moved to {top:.4g}")
    return words
