"""Progressive distillation: a student makes in one step what its teacher makes in two."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.few_steps import Teacher, moves, refuse_noise, target
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column


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
