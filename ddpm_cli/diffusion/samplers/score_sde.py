"""Score SDE's predictors (Song 2021), in sigma-space: dx = sqrt(d sigma^2 / dt) dw, or its ODE.

In native scale they agree with the published formulas to first order in the step; on a
variance-exploding process, whose scale is 1, they are the published formulas.
"""

import math

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited


def reverse_diffusion(
    denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
) -> Tensor:
    """Reverse diffusion: as much noise as the forward process added, none on the last move.

    x_s = x + (t^2 - s^2) score + sqrt(t^2 - s^2) z (Song 2021, eq. 46 for f = 0).
    """
    t, s = float(move.t), float(move.s)
    return _diffused(denoise, x, move, rng, t**2 - s**2)


def euler_maruyama(
    denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
) -> Tensor:
    """Euler-Maruyama on the reverse SDE with log sigma as its time, no noise on the last move.

    d sigma^2 = 2 sigma^2 d log sigma gives x_s = x + g score + sqrt(g) z with g = 2 t^2 log(t / s)
    (Song 2021, eq. 6; sigma is geometric in their variance-exploding time).
    """
    t, s = float(move.t), float(move.s)
    return _diffused(denoise, x, move, rng, 2 * t**2 * math.log(t / s) if s else t**2)


def probability_flow(
    denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
) -> Tensor:
    """Reverse diffusion without noise: Euler on the probability-flow ODE with sigma^2 as its time.

    x_s = x + (t^2 - s^2) / 2 score (Song 2021, appendix D.3). ddim is Euler in sigma, which
    needs fewer calls (Song 2021, DDIM, eq. 15); both tend to the same ODE.
    """
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    return x + (t**2 - s**2) / (2 * t**2) * (x0 - x) if s else x0


def hold(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
    """No predictor: the state is taken as it is to the next level, and denoised at the last.

    The moves are left to a corrector: annealed Langevin dynamics (Song 2019, algorithm 1), ended
    by one denoising (Jolicoeur-Martineau 2021).
    """
    return x if move.s > 0 else denoise(x, move.t).guided(float(move.t))


def _diffused(denoise: Denoise, x: Tensor, move: Move, rng: Draws, variance: float) -> Tensor:
    """x + variance * score + sqrt(variance) * z, where score = (x0 - x) / t^2."""
    t = float(move.t)
    x0 = denoise(x, move.t).guided(t)
    if move.s == 0:
        return x0
    return x + variance / t**2 * (x0 - x) + math.sqrt(variance) * rng.normal(x)
