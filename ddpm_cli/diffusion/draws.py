"""At which times a batch is trained: (schedule, n, rng) -> (t [n], weight [n]), both float64.

`weight` makes the weighted loss an unbiased estimate of the loss at uniform times, except where
a draw is itself part of the objective (lognormal).
"""

import math

import torch
from torch import Tensor

from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.settings.knobs import Few, Fraction, Logarithm, Ratio


def uniform(schedule: Schedule, n: int, rng: Rng, *, shift: Ratio = 1.0) -> tuple[Tensor, Tensor]:
    """Independent uniform times (Ho 2020, algorithm 1).

    shift: every level is so many times as high, within the schedule: more of high resolutions.
    """
    return _shifted(schedule, *_times(schedule, rng.uniform(n)[0].double()), shift)


def lowest(schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
    """The lowest level alone: of networks that judge clean images."""
    t = torch.full((n,), 1 / schedule.steps if schedule.steps else 0.0, dtype=torch.float64)
    return t, torch.ones_like(t)


def low_discrepancy(
    schedule: Schedule, n: int, rng: Rng, *, shift: Ratio = 1.0
) -> tuple[Tensor, Tensor]:
    """One shared offset and n evenly spaced times: lower variance (Kingma 2021, appendix I.1).

    shift: every level is so many times as high, within the schedule: more of high resolutions.
    """
    offset = rng.uniform(1)[0].double()
    even = (offset + torch.arange(n, dtype=torch.float64) / n) % 1
    return _shifted(schedule, *_times(schedule, even), shift)


def lognormal(
    schedule: Schedule, n: int, rng: Rng, *, mean: Logarithm = -1.2, std: Ratio = 1.2
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


def logit_normal(
    schedule: Schedule,
    n: int,
    rng: Rng,
    *,
    mean: Logarithm = 0.0,
    std: Ratio = 1.0,
    shift: Ratio = 1.0,
) -> tuple[Tensor, Tensor]:
    """Times of flow matching whose logit is normal (Esser 2024, eq. 19).

    As sigma = t / (1 - t), log sigma is the logit: it is `lognormal` of the same numbers. shift:
    every level is so many times as high, which adds log(shift) to the mean.
    """
    return lognormal(schedule, n, rng, mean=mean + math.log(shift), std=std)


class loss_second_moment:  # noqa: N801  (a component is named as it is called in a config)
    """Times in proportion to the root of the mean squared loss that they led to before.

    p_i = (1 - uniform) sqrt(E[L_i^2]) / sum + uniform / T over the last `history` losses of each
    time, once every time has that many; until then uniform (Nichol 2021, eq. 18).
    """

    def __init__(self, *, history: Few = 10, uniform: Fraction = 0.001) -> None:
        self._history, self._uniform = history, uniform
        self._losses = torch.zeros(0, history, dtype=torch.float64)  # [T, history], oldest first
        self._counts = torch.zeros(0, dtype=torch.int64)

    def __call__(self, schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Draw n times of a discrete schedule, with 1 / (T p) as their weight."""
        count = schedule.steps
        if count is None:
            raise ValueError("a discrete schedule is needed: set its steps")
        if not len(self._counts):
            self._losses = self._losses.new_zeros(count, self._history)
            self._counts = self._counts.new_zeros(count)
        shares = self.shares()
        row = torch.searchsorted(shares.cumsum(0), rng.uniform(n)[0].double(), right=True)
        row = row.clamp(max=count - 1)
        return (row + 1) / torch.tensor(count, dtype=torch.float64), 1 / (count * shares[row])

    def shares(self) -> Tensor:
        """Probability of each time, shape [T]."""
        count = len(self._counts)
        even = torch.full((count,), 1 / count, dtype=torch.float64)
        size = self._losses.square().mean(1).sqrt()
        if bool((self._counts < self._history).any()) or not float(size.sum()) > 0:
            return even
        return (1 - self._uniform) * size / size.sum() + self._uniform * even

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Remember the losses [B] at the times [B], in their order."""
        rows = (t * len(self._counts)).round().long() - 1
        for row, loss in zip(rows.tolist(), losses.detach().cpu().double(), strict=True):
            self._losses[row] = torch.cat([self._losses[row, 1:], loss[None]])
            self._counts[row] += 1

    def tensors(self) -> dict[str, Tensor]:
        """What must be kept to go on."""
        return {"losses": self._losses, "counts": self._counts}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self._losses, self._counts = tensors["losses"].clone(), tensors["counts"].clone()


def _times(schedule: Schedule, u: Tensor) -> tuple[Tensor, Tensor]:
    """Map u in [0, 1) to t in (0, 1]; discrete processes to their own t = 1/T .. 1."""
    t = 1 - u if schedule.steps is None else ((u * schedule.steps).floor() + 1) / schedule.steps
    return t, torch.ones_like(t)


def _shifted(schedule: Schedule, t: Tensor, weight: Tensor, shift: float) -> tuple[Tensor, Tensor]:
    """Times of levels `shift` times as high: t' = shift t / (1 + (shift - 1) t) of flows.

    An image of m pixels needs sqrt(m / n) times the noise of one of n to be as hard to make out
    (Esser 2024, eq. 23).
    """
    if shift == 1:
        return t, weight
    return _trained(schedule, schedule.time(shift * schedule.sigma(t))), weight


def _trained(schedule: Schedule, t: Tensor) -> Tensor:
    """The times themselves, or the nearest trained ones of a discrete process."""
    if schedule.steps is None:
        return t
    return (t * schedule.steps).round().clamp(1, schedule.steps) / schedule.steps
