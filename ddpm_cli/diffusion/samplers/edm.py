"""Heun's second-order method on the probability-flow ODE (Karras 2022)."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited


def heun(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
    """Heun's second-order ODE step, two calls a move but one for the last.

    d = (x - x0) / t, y = x + (s - t) d, then the mean of both slopes (Karras 2022, algorithm 1).
    """
    t, s = float(move.t), float(move.s)
    slope = (x - denoise(x, move.t).guided(t)) / t
    y = x + (s - t) * slope
    if s == 0:
        return y
    return x + (s - t) / 2 * (slope + (y - denoise(y, move.s).guided(s)) / s)
