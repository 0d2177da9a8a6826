"""Variances of a reverse move from t to s, in sigma-space: of x_s given x_t, not of alpha * x."""

import math

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Move


def large(schedule: Schedule, move: Move) -> Tensor:
    """(alpha_t / alpha_s)^2 (t^2 - s^2): beta of the move, also Song 2021's sigma-hat squared."""
    shrink = schedule.alpha(move.t) / schedule.alpha(move.s)
    return shrink**2 * (move.t**2 - move.s**2)


def optimal(prediction: Prediction, move: Move, forward: float) -> Tensor:
    """The variance that fits the data best, given how uncertain the clean image is.

    forward + (1 - sqrt(s^2 - forward) / t)^2 Var[x0 given x], where `forward` is the variance
    of x_s given x_t and x0 (Bao 2022, Analytic-DPM, eq. 11; diagonal: Bao 2022, ICML, eq. 12).
    """
    if prediction.covariance is None:
        raise ValueError("variance optimal needs moments of the model: type ddpm fit first")
    t, s = float(move.t), float(move.s)
    return forward + (1 - math.sqrt(max(s**2 - forward, 0)) / t) ** 2 * prediction.covariance


def limited(variance: Tensor, schedule: Schedule, move: Move, pixels: float, moves: int) -> Tensor:
    """Limit the mean size of the noise of the last noisy `moves` to `pixels` of 255 (0: no limit).

    E|noise| = deviation * sqrt(2 / pi) <= pixels * 2 / 255 in native scale (Bao 2022,
    appendix on clipping sigma).
    """
    if not pixels:
        return variance
    if move.left is None:
        raise ValueError("clip_pixels counts moves from the end of a walk; give the move levels")
    if move.left > moves:  # the very last move has no noise
        return variance
    native = pixels * 2 / 255 * math.sqrt(math.pi / 2)
    return variance.clamp(max=(native / float(schedule.alpha(move.s))) ** 2)
