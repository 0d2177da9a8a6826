"""The probability-flow ODE with adaptive steps, by torchdiffeq."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.errors import missing_extra
from ddpm_cli.settings.knobs import Tolerance


def ode(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    rtol: Tolerance = 1e-5,
    atol: Tolerance = 1e-5,
    method: Literal["dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun"] = "dopri5",
) -> Tensor:
    """Probability-flow ODE solved to a tolerance, image by image; the last move denoises.

    dx / d log sigma = x - x0 (Song 2021, eq. 13 in sigma-space) on the interval of each move.
    Each image has steps of its own, so that none depends on what else is in the batch.
    """
    try:
        from torchdiffeq import odeint
    except ImportError:
        raise missing_extra("torchdiffeq", "ode") from None
    if move.s == 0:
        return denoise(x, move.t).guided(float(move.t))

    def slope(log_sigma: Tensor, x: Tensor) -> Tensor:
        sigma = log_sigma.exp()
        return x - denoise(x, sigma).guided(float(sigma))

    span = torch.stack([move.t, move.s]).log().to(x)
    solved = [
        odeint(slope, row, span, rtol=rtol, atol=atol, method=method)[-1]
        for row in torch.split(x, 1)
    ]
    return torch.cat(solved)
