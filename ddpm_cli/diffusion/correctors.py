"""Langevin steps at one noise level: (denoise, x, move, rng, past, *, knobs) -> x at move.t.

They leave the distribution of x at that level as it is, to first order in the step.  Scores are
gradients with respect to x = x_t / alpha.  With x_t = alpha x a native score is score / alpha and
a native step alpha^2 times the step here; rules that measure a step in units of the noise level,
or of the score's norm, are therefore the same numbers in both scales, for VP as for VE.
"""

import math

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Ratio


def langevin(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    snr: Ratio = 0.16,
) -> Tensor:
    """Langevin step that keeps the ratio of signal to noise at snr, for the norms to expect.

    h = 2 (snr E||z|| / E||score||)^2 = 2 (snr sigma)^2 (Song 2021, algorithms 4 and 5).  There the
    norms are those that were drawn, whose quotient has no mean in one or two dimensions.  Here
    they are those of data that are points, score = -z / sigma; no score has more to expect.
    On such data the step is exact: x0 + k (x - x0) + sigma sqrt(1 - k^2) z, k = exp(-h / sigma^2).
    """
    x0 = denoise(x, move.t).guided(float(move.t))
    h = 2 * snr * snr  # in units of sigma^2; a power would raise where a product is infinite
    noise = float(move.t) * math.sqrt(-math.expm1(-2 * h))
    return torch.lerp(x0, x, math.exp(-h)) + noise * rng.normal(x)


def ald(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    snr: Ratio = 0.16,
) -> Tensor:
    """Annealed Langevin step of a size proportional to the noise level squared.

    step = 2 (snr sigma)^2 (Song 2021's code for the steps of Song 2019): that of `langevin`, as
    Euler's method takes it, which widens the noise by up to snr^2 of its variance.
    """
    size = snr * float(move.t)
    step = 2 * size * size
    return _moved(x, _score(denoise, x, move), rng.normal(x), column(step, x))


def ncsn(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    step: Ratio = 2e-5,
) -> Tensor:
    """Annealed Langevin step of NCSN: step is the size at the lowest level of the walk.

    a = step sigma^2 / sigma_low^2, x + a / 2 score + sqrt(a) z (Song 2019, algorithm 1).  On a
    single level this is plain Langevin dynamics with the step size a = step.
    """
    levels = move.t[None] if move.levels is None else move.levels
    lowest = float(levels[levels > 0].min())
    size = step * (float(move.t) / lowest) ** 2
    return _moved(x, _score(denoise, x, move), rng.normal(x), column(size / 2, x))


def _score(denoise: Denoise, x: Tensor, move: Move) -> Tensor:
    """(x0 - x) / sigma^2, guidance included: Tweedie's formula."""
    return (denoise(x, move.t).guided(float(move.t)) - x) / column(move.t, x) ** 2


def _moved(x: Tensor, gradient: Tensor, z: Tensor, step: Tensor) -> Tensor:
    """x + step * score + sqrt(2 step) * z."""
    return x + step * gradient + (2 * step).sqrt() * z
