"""Denoising diffusion implicit models (Song 2021)."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.diffusion.variances import large, limited, optimal
from ddpm_cli.settings.knobs import Eta, LevelCount, Strength


def ddim(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    eta: Eta = 0.0,
    variance: Literal["eta", "hat", "optimal"] = "eta",
    direction: Literal["clamped", "raw"] = "clamped",
    clip_pixels: Strength = 0.0,
    clip_moves: LevelCount = 1,
) -> Tensor:
    """DDIM: deterministic at eta 0, ancestral at eta 1; its noise may be hat's or optimal.

    x_s = x0 + sqrt(s^2 - n^2) * eps + n * z with n = eta * s * sqrt(1 - s^2 / t^2), which is
    eta times the posterior's standard deviation (Song 2021, eq. 12 and 16).
    hat: the mean of eta 1 and the variance 1 - abar_t / abar_s, which is ddpm's large one
    (Song 2021, appendix D.3); eta has no say.  optimal: eta's mean and the variance that fits
    the data best (Bao 2022), limited by clip_pixels as in ddpm.
    direction: eps is that of the x0 which a wrapper clamped, or of the network's own, raw, as in
    diffusers.
    """
    t, s = float(move.t), float(move.s)
    prediction = denoise(x, move.t)
    x0 = prediction.guided(t)
    if s == 0:
        return x0
    # A move up, from data to noise, is the same formula without noise (Song 2021, section 4.3).
    noise = (1.0 if variance == "hat" else eta) * s * max(1 - (s / t) ** 2, 0.0) ** 0.5
    if noise > s:
        most = (1 - (s / t) ** 2) ** -0.5
        raise ValueError(f"eta {eta:g} asks for more noise than a level holds; at most {most:.4g}")
    share = (s**2 - noise**2) ** 0.5 / t
    mean = torch.lerp(x0, x, share)
    if direction == "raw" and prediction.raw is not None:
        mean = mean + share * (prediction.x0 - prediction.raw)
    if variance == "optimal":
        spread = optimal(prediction, move, noise**2)
        spread = limited(spread, denoise.schedule, move, clip_pixels, clip_moves)
        return mean + spread.sqrt() * rng.normal(x)
    if variance == "hat":
        noise = float(large(denoise.schedule, move).sqrt())
    return mean + noise * rng.normal(x) if noise else mean
