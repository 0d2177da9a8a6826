"""Objectives that bound -log p(x0), in bits per dimension."""

import math
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.monotone import learned
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.variational import Reverse, prior_bits, reconstruction_bits, step_bits
from ddpm_cli.settings.knobs import Bits, Strength


def vlb(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    variance: Literal["small", "large", "learned"] = "small",
    bits: Bits = 8,
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
    weight: Strength = 1e-3,
    bits: Bits = 8,
    **condition: object,
) -> Tensor:
    """The simple loss, which trains the mean, plus a small bound that trains the variance.

    L_simple + weight * L_vlb with the mean detached in L_vlb (Nichol 2021, eq. 16).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition)
    simple = seen.error(denoise.parameterization(seen.sigma, denoise.schedule).out)
    fixed = seen.prediction._replace(x0=seen.prediction.x0.detach())
    return simple + weight * _bound(denoise.schedule, t, seen, fixed, "learned", bits)


def vdm(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    bits: Bits = 8,
    **condition: object,
) -> Tensor:
    """Variational diffusion: the bound in continuous time, or in the steps of the schedule.

    gamma'(t) / 2 ||eps - eps_hat||^2 (Kingma 2021, eq. 17), or with T steps T / 2 expm1(gamma_t -
    gamma_s) ||eps - eps_hat||^2 (eq. 14), plus the prior's divergence and the reconstruction of
    2^bits levels from the lowest noise.  In continuous time the bound depends on the ends of a
    learned schedule alone; its shape then learns to lower the variance of the loss.
    """
    schedule = denoise.schedule
    sigma, weight, shape = _speed(schedule, t)
    seen = Noised.at(denoise, x0, sigma, rng, condition)
    error = seen.error(sigma)
    loss = column(weight, error) * error / (2 * math.log(2))
    for value in shape:
        # The gradient of loss^2 in place of that of the loss (appendix I.2).
        value.register_hook(  # type: ignore[no-untyped-call]
            lambda slope: 2 * loss.detach().to(slope) * slope
        )
    first = schedule.sigma(torch.zeros((), dtype=torch.float64))
    x = x0 + column(first, x0) * rng.normal(x0)
    return loss + prior_bits(schedule, x0) + reconstruction_bits(x0, x, first, bits)


def _speed(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Level [B], twice the weight of the eps-error [B], and what is to lower the variance."""
    if schedule.steps is not None:
        sigma, before = schedule.sigma(t), schedule.sigma(t - 1 / schedule.steps)
        return sigma, schedule.steps * torch.expm1(2 * torch.log(sigma / before)), ()
    if not isinstance(schedule, learned):
        return schedule.sigma(t), rate(schedule, t), ()
    with torch.enable_grad():
        t = t.detach().requires_grad_()
        shape = schedule.shape(t)
        (slope,) = torch.autograd.grad(shape.sum(), t, create_graph=True)
    start, end = schedule.start.cpu().double(), schedule.end.cpu().double()
    return torch.exp((start + (end - start) * shape) / 2), (end - start) * slope, (shape, slope)


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
    return count * step_bits(seen.x0, prediction, step, variance, bits=bits)
