"""Progressive distillation: a student makes in one step what its teacher makes in two."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Denoiser
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column

MOST = 10.0  # how often an error of the network may count in x0 at the highest level


class Teacher(Protocol):
    """A finished model, and the levels of its walk: two moves for each one of its student."""

    @property
    def levels(self) -> Tensor:
        """Descending levels [2 N + 1], the last one 0, on the host."""

    def lesson(self, condition: dict[str, object], rng: Rng) -> tuple[Denoise, dict[str, object]]:
        """The teacher of a batch, and what its student is told."""


def progressive(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    teacher: Teacher,
    *,
    weighting: Literal["truncated", "snr+1"] = "truncated",
    **condition: object,
) -> Tensor:
    """Squared error of x0 to where two DDIM steps of a teacher lead (Salimans 2022, algorithm 2).

    Times are those of the student's N levels. weighting: max(SNR, 1), truncated, or SNR + 1, of
    the authors, as the error of eps alone says nothing of x0 where there is noise alone.
    """
    refuse_noise(denoise)
    high, middle, low = moves(teacher.levels, t)
    guide, condition = teacher.lesson(condition, rng)
    seen = Noised.at(denoise, x0, high, rng, condition)
    with torch.no_grad():
        goal = target(guide, seen.x, high, middle, low)
    loss = seen._replace(x0=goal).error(torch.ones_like(high))
    snr = high**-2
    weight = snr.clamp(min=1) if weighting == "truncated" else snr + 1
    return column(weight, loss) * loss


def moves(levels: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of times [B] in [0, 1] the levels [B] where a move of the student begins, halves and ends.

    levels: the teacher's [2 N + 1]. Each of the N moves has an equal share of the times.
    """
    count = len(levels) // 2
    place = 2 * (count - (t * count).ceil().long().clamp(1, count)).to(levels.device)
    return levels[place], levels[place + 1], levels[place + 2]


def target(teacher: Denoise, x: Tensor, t: Tensor, middle: Tensor, s: Tensor) -> Tensor:
    """The x0 that takes x in one DDIM step from t to s to where two of the teacher lead.

    DDIM is x_s = D + (s / t) (x - D). With D at t and D' at the middle m, x0 (1 - s / t) =
    (1 - s / m) D' + (s / m) (1 - m / t) D: a mean of both, without the differences of large
    numbers of Salimans 2022, eq. 9, and without 0 / 0 at s = 0, where it is D'.
    """
    first = teacher(x, t).x0
    ratio = column(middle / t, x)
    second = teacher(first + ratio * (x - first), middle).x0
    share = column((1 - s / middle) / (1 - s / t), x)
    return share * second + (1 - share) * first


def refuse_noise(denoise: Denoiser) -> None:
    """Refuse a network of noise: few steps show its errors many times over."""
    top = denoise.schedule.sigma(torch.ones(1, dtype=torch.float64))
    times = float(denoise.parameterization(top, denoise.schedule).out.abs())
    if times > MOST:
        what = f"at the highest level an error of this network counts {times:.3g} times in x0"
        raise ValueError(f"{what}, which few steps show; train a teacher of v, x0, edm or flow")
