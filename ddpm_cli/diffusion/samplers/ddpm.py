"""Ancestral sampling of denoising diffusion probabilistic models (Ho 2020)."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.walk import Draws, Move, Visited


def ddpm(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    variance: Literal["small", "large", "learned"] = "small",
) -> Tensor:
    """Ancestral sampling with a small (posterior), large (beta) or learned variance.

    mean = x0 + s^2 / t^2 (x - x0), the posterior's mean (Ho 2020, eq. 7); no noise at level 0.
    """
    t, s = float(move.t), float(move.s)
    prediction = denoise(x, move.t)
    mean = prediction.x0 + (s / t) ** 2 * (x - prediction.x0)
    shrink = float(denoise.schedule.alpha(move.t) / denoise.schedule.alpha(move.s))
    log_variance = _log_variance(prediction, move, shrink, variance)
    if prediction.score is not None:
        # The mean shift of Dhariwal 2021, algorithm 1, in sigma-space.
        mean = mean + log_variance.exp() / shrink * prediction.score
    return mean if s == 0 else mean + (log_variance / 2).exp() * rng.normal(x)


def _log_variance(prediction: Prediction, move: Move, shrink: float, variance: str) -> Tensor:
    """Log of the reverse variance of x_s, in sigma-space (native scale divided by alpha_s^2).

    small: s^2 (1 - s^2 / t^2), the posterior's; large: (alpha_t / alpha_s)^2 (t^2 - s^2), beta;
    learned: between their logarithms by the network's channel (Nichol 2021, eq. 15).
    """
    small = torch.log(move.s**2 * (1 - (move.s / move.t) ** 2))
    large = torch.log(shrink**2 * (move.t**2 - move.s**2))
    if variance != "learned":
        return column(small if variance == "small" else large, prediction.x0)
    if prediction.range is None:
        raise ValueError("variance learned needs a model that was trained with learned variances")
    share = (prediction.range + 1) / 2
    if move.s == 0:  # the posterior's variance vanishes there, and no noise is added
        small = large
    return share * column(large, share) + (1 - share) * column(small, share)
