"""At which times a batch is trained: (schedule, n, rng) -> (t [n], weight [n]), both float64.

`weight` makes the weighted loss an unbiased estimate of the loss at uniform times, except where
a draw is itself part of the objective (lognormal).
"""

import torch
from torch import Tensor

from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.knobs import Positive


def uniform(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Independent uniform times (Ho 2020, algorithm 1)."""
    return _times(schedule, rng.uniform(n)[0].double())


def low_discrepancy(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """One shared offset and n evenly spaced times: lower variance (Kingma 2021, appendix I.1)."""
    offset = rng.uniform(1)[0].double()
    return _times(schedule, (offset + torch.arange(n, dtype=torch.float64) / n) % 1)


def lognormal(
    schedule: Schedule, n: int, rng: Rng, *, mean: float = -1.2, std: Positive = 1.2
) -> tuple[Tensor, Tensor]:
    """Levels whose logarithm is normal, within the schedule's range (Karras 2022, table 1).

    EDM's losses are defined under this distribution, so the weight is 1.
    """
    log_sigma = mean + std * rng.normal(torch.empty(1, n, dtype=torch.float64))[0]
    t = schedule.time(log_sigma.exp())
    return _trained(schedule, t), torch.ones_like(t)


def likelihood(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """Times in proportion to gamma'(t) = g^2 / std^2, so evenly in log SNR (Song 2021b, eq. 13).

    With likelihood weights the error of eps then counts alike at every time.
    """
    u = rng.uniform(n)[0].double()
    if schedule.steps is None:
        low, high = schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64)).log().tolist()
        t = schedule.time(torch.exp(high - u * (high - low)))
        return t, 2 * (high - low) / rate(schedule, t).clamp(min=1e-300)
    times = torch.arange(1, schedule.steps + 1, dtype=torch.float64) / schedule.steps
    # The rate at a table's first entry is that of the interval above it.
    shares = rate(schedule, times)
    shares = shares / shares.sum()
    row = torch.searchsorted(shares.cumsum(0), u).clamp(max=schedule.steps - 1)
    return times[row], 1 / (schedule.steps * shares[row])


def _times(schedule: Schedule, u: Tensor) -> tuple[Tensor, Tensor]:
    """Map u in [0, 1) to t in (0, 1]; discrete processes to their own t = 1/T .. 1."""
    t = 1 - u if schedule.steps is None else ((u * schedule.steps).floor() + 1) / schedule.steps
    return t, torch.ones_like(t)


def _trained(schedule: Schedule, t: Tensor) -> Tensor:
    """The times themselves, or the nearest trained ones of a discrete process."""
    if schedule.steps is None:
        return t
    return (t * schedule.steps).round().clamp(1, schedule.steps) / schedule.steps
