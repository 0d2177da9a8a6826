"""Ancestral sampling of denoising diffusion probabilistic models (Ho 2020)."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.diffusion.variances import large, limited, optimal
from ddpm_cli.settings.knobs import LevelCount, Strength


def ddpm(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    variance: Literal["small", "large", "learned", "optimal"] = "small",
    clip_pixels: Strength = 0.0,
    clip_moves: LevelCount = 1,
) -> Tensor:
    """Ancestral sampling: variance small (posterior), large (beta), learned or optimal (fitted).

    mean = x0 + s^2 / t^2 (x - x0), the posterior's mean (Ho 2020, eq. 7); no noise at level 0.
    clip_pixels, unless 0, limits the optimal noise of the last clip_moves noisy moves, in grey
    levels of 255 (Bao 2022, appendix).
    """
    t, s = float(move.t), float(move.s)
    prediction = denoise(x, move.t)
    mean = prediction.x0 + (s / t) ** 2 * (x - prediction.x0)
    if variance == "optimal":
        spread = optimal(prediction, move, s**2 * (1 - (s / t) ** 2))
        spread = limited(spread, denoise.schedule, move, clip_pixels, clip_moves)
    else:
        spread = _log_variance(prediction, denoise, move, variance).exp()
    if prediction.is_steered:
        # The mean shift of Dhariwal 2021, algorithm 1, in sigma-space.
        shrink = float(denoise.schedule.alpha(move.t) / denoise.schedule.alpha(move.s))
        mean = mean + spread / shrink * prediction.pulled(mean / shrink)
    return mean if s == 0 else mean + spread.sqrt() * rng.normal(x)


def _log_variance(prediction: Prediction, denoise: Denoise, move: Move, variance: str) -> Tensor:
    """Log of the reverse variance of x_s, in sigma-space (native scale divided by alpha_s^2).

    small: s^2 (1 - s^2 / t^2), the posterior's; large: (alpha_t / alpha_s)^2 (t^2 - s^2), beta;
    learned: between their logarithms by the network's channel (Nichol 2021, eq. 15).
    At s = 0, where it shifts a guided mean only, the posterior's variance vanishes: large and
    learned then take that of the move before in its place, as the authors' code does.
    """
    if variance == "small":
        return column(torch.log(move.s**2 * (1 - (move.s / move.t) ** 2)), prediction.x0)
    low = _lowest(denoise, move) if move.s == 0 else move.s**2 * (1 - (move.s / move.t) ** 2)
    high = large(denoise.schedule, move)
    if variance == "large":
        return column(torch.log(low if move.s == 0 else high), prediction.x0)
    if prediction.range is None:
        raise ValueError(
            "learned needs a model that was trained with learned variances; use small or large"
        )
    share = (prediction.range + 1) / 2
    return share * column(high.log(), share) + (1 - share) * column(low.log(), share)


def _lowest(denoise: Denoise, move: Move) -> Tensor:
    """The posterior's variance one move earlier, native scale: from the level above t to t."""
    above = move.t[None][:0] if move.levels is None else move.levels[move.levels > move.t]
    if not len(above):
        return large(denoise.schedule, move)
    alpha = denoise.schedule.alpha(move.t)
    return (alpha * move.t) ** 2 * (1 - (move.t / above.min()) ** 2)
