"""The step of consistency models (Song 2023)."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited


def consistency(
    denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
) -> Tensor:
    """Predict the image, and noise it anew to the next level: for networks that jump to the end.

    x_s = D + s z (Song 2023, "Consistency models", algorithm 1).
    """
    x0 = denoise(x, move.t).guided(float(move.t))
    return x0 if move.s == 0 else x0 + float(move.s) * rng.normal(x)
