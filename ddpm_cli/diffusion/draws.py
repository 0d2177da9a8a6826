"""At which times a batch is trained: (schedule, n, rng) -> (t [n], weight [n]), both float64.

`weight` makes the weighted loss an unbiased estimate of the loss at uniform times.
"""

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule


def uniform(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Independent uniform times (Ho 2020, algorithm 1)."""
    return _times(schedule, rng.uniform(n)[0].double())


def low_discrepancy(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """One shared offset and n evenly spaced times: lower variance (Kingma 2021, appendix I.1)."""
    offset = rng.uniform(1)[0].double()
    return _times(schedule, (offset + torch.arange(n, dtype=torch.float64) / n) % 1)


def _times(schedule: Schedule, u: Tensor) -> tuple[Tensor, Tensor]:
    """Map u in [0, 1) to t in (0, 1]; discrete processes to their own t = 1/T .. 1."""
    t = 1 - u if schedule.steps is None else ((u * schedule.steps).floor() + 1) / schedule.steps
    return t, torch.ones_like(t)
