"""What models of few steps are made of: halved walks, pairs of levels, and what cannot be one."""

from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Denoiser
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column

MOST = 10.0  # how often an error of the network may count in x0 at the highest level
LOW = 1e-4  # a level at which all is known of the image


class Teacher(Protocol):
    """A finished model, and the levels of its walk: two moves for each one of its student."""

    @property
    def levels(self) -> Tensor:
        """Descending levels [2 N + 1], the last one 0, on the host."""

    def lesson(self, condition: dict[str, object], rng: Rng) -> tuple[Denoise, dict[str, object]]:
        """The teacher of a batch, and what its student is told."""


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


def lower(t: Tensor, stage: int, *, q: float = 2.0, k: float = 8.0, b: float = 1.0) -> Tensor:
    """The lower level of a pair: t max(0, 1 - q^-(stage + 1) (1 + k sigmoid(-b t))) [B].

    Geng 2025, eq. 18 and appendix A, where stages are numbered from 0.
    """
    return t * (1 - q ** -(stage + 1) * (1 + k * torch.sigmoid(-b * t))).clamp(min=0)


def refuse_open(denoise: Denoiser) -> None:
    """Refuse a network whose answer at level 0 is not the image that it is shown."""
    low = torch.tensor([LOW], dtype=torch.float64)
    skip, out, _ = denoise.parameterization(low, denoise.schedule)
    if abs(float(skip) - 1) > 0.1 or abs(float(out)) > 0.1:
        what = "at level 0 this network need not answer with what it is shown, as that of x0"
        raise ValueError(f"{what}; start from a model of edm, flow or v")
