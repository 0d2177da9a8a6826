"""Known pixels in a noisy state: where masks, clean pixels and states meet.

A mask [B or 1, 1, ...] is true where a pixel is known; it is never spread over the channels.
"""

from torch import Tensor

from ddpm_cli.diffusion.latents import state
from ddpm_cli.diffusion.schedules import Schedule


def pasted(x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The state x with `known` in the place of what the mask covers."""
    return known.to(x).where(mask.to(x.device), x)


def begun(schedule: Schedule, z: Tensor, level: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The start of a walk from unit noise z: the prior, and the known pixels at that level.

    No constraint is applied to the first state.  The prior alone would tell the first call
    nothing of the known pixels, which matters where a walk starts at little noise.
    """
    return pasted(state(schedule, z, level), known.to(z) + float(level) * z, mask)
