"""Objectives that match the score without its value: traces of a Jacobian, for few dimensions.

Both equal `dsm` less 1 in expectation, so that the levels weigh alike.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.settings.knobs import Few

DIMENSIONS = 50  # more of them take more backward passes than a step can wait for

Trace = Callable[[Tensor, Tensor], Tensor]  # (clean image, x) -> trace of the Jacobian [B]


def exact(denoise: Denoiser, x0: Tensor, t: Tensor, rng: Rng, **condition: object) -> Tensor:
    """Score matching with the exact trace, one backward pass a dimension.

    sigma^2 (||score||^2 + 2 tr d score / dx) / d (Hyvarinen 2005, theorem 1).
    """

    if x0[0].numel() > DIMENSIONS:
        raise ValueError(
            f"one backward pass for each of {x0[0].numel()} dimensions takes too long; "
            "use loss sliced or dsm"
        )

    def trace(clean: Tensor, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for i in range(x[0].numel()):
            total = total + _gradient(clean.flatten(1)[:, i], x).flatten(1)[:, i]
        return total

    return _implicit(denoise, x0, t, rng, condition, trace)


def sliced(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    projections: Few = 1,
    **condition: object,
) -> Tensor:
    """Sliced score matching: the trace is estimated along random projections of each image.

    sigma^2 (||score||^2 + 2 p^T (d score / dx) p) / d, the signs p being random: the variant
    with less variance (Song 2020, "Sliced Score Matching", eq. 8).
    """

    def trace(clean: Tensor, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), dtype=x.dtype, device=x.device)
        for _ in range(projections):
            signs = torch.where(rng.normal(x) < 0, -1.0, 1.0).to(x.dtype)
            along = (clean * signs).flatten(1).sum(1)
            total = total + (_gradient(along, x) * signs).flatten(1).sum(1)
        return total / projections

    return _implicit(denoise, x0, t, rng, condition, trace)


def _gradient(values: Tensor, x: Tensor) -> Tensor:
    """Gradient of each image's value [B] with respect to x [B, ...], itself differentiable."""
    (slope,) = torch.autograd.grad(values.sum(), x, create_graph=True)
    return slope


def _implicit(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    condition: dict[str, object],
    trace: Trace,
) -> Tensor:
    """sigma^2 (||score||^2 + 2 tr d score / dx) / d with score = (clean - x) / sigma^2."""
    sigma = denoise.schedule.sigma(t)
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        x = (x0 + column(sigma, x0) * rng.normal(x0)).detach().requires_grad_()
        clean = denoise(x, sigma, **condition).x0
        share = trace(clean, x) / x[0].numel()
        energy = ((clean - x) / column(sigma, x)).square().flatten(1).mean(1)
        loss: Tensor = energy + 2 * (share - 1)
    return loss if training else loss.detach()
