"""Known pixels in a noisy state: where masks, clean pixels and states meet.

A mask [B or 1, 1, ...] is true where a pixel is known; it is never spread over the channels.
"""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise


def pasted(x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The state x with `known` in the place of what the mask covers."""
    return known.to(x).where(mask.to(x.device), x)


def begun(denoise: Denoise, x: Tensor, level: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The start x of a walk with its known pixels drawn from q(x_t given x0), by the same noise.

    Walks that start at little noise would otherwise be told nothing by their first state, which
    is drawn from the prior; no constraint is applied to it.
    """
    noise = x / float(denoise.schedule.prior(level))
    return pasted(x, known.to(x) + float(level) * noise, mask)
