"""Guidance along the line through both predictions: plain, in CFG++'s steps, and in CADS."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction
from ddpm_cli.diffusion.guidance import At
from ddpm_cli.settings.knobs import Fraction, Noise


def cfg(told: Tensor, other: Tensor, at: At) -> Prediction:
    """Plain guidance: x0 = u + scale (c - u), classifier-free (Ho 2022) or by a second model.

    Of eps it is the (1 + w) c - w u of Ho 2022, eq. 6, with w = scale - 1; with the prediction u
    of a worse model it is autoguidance (Karras 2024, eq. 4).
    """
    return Prediction(other + at.weight * (told - other))


def cfg_pp(told: Tensor, other: Tensor, at: At) -> Prediction:
    """CFG++: x_s = x0 + (s / t) (x - u) with x0 = u + scale (c - u), scale being 0 to 1.

    The direction of a step is that of the null class alone, so that it stays where data are
    (Chung 2024, algorithm 2); see `directed` for what that is in any sampler. For ddim it is
    plain guidance of scale * t / (t - s), so the more the more steps there are.
    """
    x0 = cfg(told, other, at).x0
    return Prediction(x0, free=torch.where(at.inside > 0, other, x0))


def cads(
    told: Tensor,
    other: Tensor,
    at: At,
    *,
    noise: Noise = 0.1,
    tau1: Fraction = 0.6,
    tau2: Fraction = 0.9,
    mixing: Fraction = 1.0,
) -> Prediction:
    """CADS: plain guidance towards a condition that comes out of noise, for more variety.

    y' = sqrt(g) y + noise sqrt(1 - g) n, with g = 1 up to the time tau1 of the process, 0 from
    tau2 on and straight between (Sadat 2023, eq. 3 to 5), of the vectors that the network makes
    of a class and of what else it is told. mixing: how far y' is brought back to the mean and
    deviation of y. n is of the image's seed and the same on its whole walk, so that x0 stays a
    function of x and sigma, which a solver's order asks for; the authors draw it anew each step.
    """
    del noise, tau1, tau2, mixing  # of interest to who makes the pair; see `annealing`
    return cfg(told, other, at)
