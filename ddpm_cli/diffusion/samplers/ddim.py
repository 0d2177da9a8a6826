"""Denoising diffusion implicit models (Song 2021)."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.walk import Draws, Move, Visited
from ddpm_cli.knobs import NonNegative


def ddim(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    eta: NonNegative = 0.0,
) -> Tensor:
    """DDIM: deterministic at eta 0, ancestral at eta 1.

    x_s = x0 + sqrt(s^2 - n^2) * eps + n * z with n = eta * s * sqrt(1 - s^2 / t^2), which is
    eta times the posterior's standard deviation (Song 2021, eq. 12 and 16).
    """
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    if s == 0:
        return x0
    noise = eta * s * (1 - (s / t) ** 2) ** 0.5
    if noise > s:
        raise ValueError(f"eta {eta:g} asks for more noise than the level {s:g} holds")
    x = x0 + (s**2 - noise**2) ** 0.5 / t * (x - x0)
    return x + noise * rng.normal(x) if noise else x
