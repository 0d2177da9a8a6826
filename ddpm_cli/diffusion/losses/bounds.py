"""Objectives that bound -log p(x0), in bits per dimension."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.variational import Reverse, step_bits
from ddpm_cli.knobs import Count, NonNegative


def vlb(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    variance: Literal["small", "large", "learned"] = "small",
    bits: Count = 8,
    **condition: object,
) -> Tensor:
    """Variational bound of a discrete process: T times the term of one reverse step.

    Its mean over uniform times is the whole bound but for the constant L_T: the divergences of
    the reverse steps and the decoder of images of 2^bits levels (Ho 2020, eq. 5 and 13).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition)
    return _bound(denoise.schedule, t, seen, seen.prediction, variance, bits)


def hybrid(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    weight: NonNegative = 1e-3,
    bits: Count = 8,
    **condition: object,
) -> Tensor:
    """The simple loss, which trains the mean, plus a small bound that trains the variance.

    L_simple + weight * L_vlb with the mean detached in L_vlb (Nichol 2021, eq. 16).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition)
    simple = seen.error(denoise.parameterization(seen.sigma, denoise.schedule).out)
    fixed = seen.prediction._replace(x0=seen.prediction.x0.detach())
    return simple + weight * _bound(denoise.schedule, t, seen, fixed, "learned", bits)


def _bound(
    schedule: Schedule,
    t: Tensor,
    seen: Noised,
    prediction: Prediction,
    variance: str,
    bits: int,
) -> Tensor:
    """T times the term of the trained step at t [B], in bits per dimension [B]."""
    count = schedule.steps
    if count is None or count < 2:
        raise ValueError("the bound needs a discrete schedule of two or more steps: set its steps")
    ends = schedule.sigma(torch.tensor([1.0, 2.0], dtype=torch.float64) / count)
    index = (t * count).round()
    s = torch.where(index > 1, schedule.sigma((index - 1) / count), 0.0)
    step = Reverse.between(schedule, seen.sigma, s, ends)
    return count * step_bits(seen.x0, prediction, step, variance, bits)
