"""Whether a denoiser knows images like these: a test that needs no other images."""

from collections.abc import Callable

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.shapes import column

LEVELS = (0.2, 0.4)  # of noise: enough to hide what all images share, not what they show
STRANGE = 0.3


def strangeness(
    denoise: Denoise,
    x0: Tensor,
    sigma: Tensor,
    noise: Tensor,
    seen: Callable[[Tensor], Tensor] = lambda x: x,
) -> Tensor:
    """How far images x0 [B, ...] are from those that a denoiser was trained on, [B].

    With x = x0 + sigma noise, what an ideal denoiser D takes away is perpendicular to what it
    gets wrong, E<D - x, D - x0> = 0 (the orthogonality of conditional means). So by Pythagoras

        2 <D - x, D - x0> / |x - x0|^2 = (|D - x|^2 + |D - x0|^2) / |x - x0|^2 - 1

    is 0 on average for images of its own data at every level, however hard these are to denoise,
    and above 0 where it takes noise away in a wrong direction.
    seen: a linear map, for images of which no more is known: x0 is one of those it could be of.
    """
    x = x0 + column(sigma, x0) * noise
    clean = denoise(x, sigma).x0
    removed, wrong, added = (seen(part).flatten(1) for part in (clean - x, clean - x0, x - x0))
    return 2 * (removed * wrong).sum(1) / added.square().sum(1)
