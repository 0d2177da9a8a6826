"""The move to a higher noise level."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Ratio


def renoise(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    noise: Ratio = 1.0,
) -> Tensor:
    """A level up adds the missing noise, noise times its standard deviation.

    x_s = x_t + noise * sqrt(s^2 - t^2) z: the forward process itself at noise 1; slightly more
    makes up for denoisers that remove too much (S_noise of Karras 2022, algorithm 2).
    """
    return x + noise * float((move.s**2 - move.t**2).sqrt()) * rng.normal(x)
