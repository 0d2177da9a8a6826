"""Known pixels in a noisy state: where masks, clean pixels and states meet.

A mask [B or 1, 1, ...] is true where a pixel is known; it is never spread over the channels.
"""

from collections.abc import Callable

from torch import Tensor

from ddpm_cli.diffusion.latents import state
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Constraint, Draws, Move, Visited

Paste = Callable[[Tensor, Tensor], Tensor]  # a state x, and what is known at its level


def pasted(x: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The state x with `known` in the place of what the mask covers."""
    return known.to(x).where(mask.to(x.device), x)


def begun(schedule: Schedule, z: Tensor, level: Tensor, known: Tensor, mask: Tensor) -> Tensor:
    """The start of a walk from unit noise z: the prior, and the known pixels at that level.

    No constraint is applied to the first state.  The prior alone would tell the first call
    nothing of the known pixels, which matters where a walk starts at little noise.
    """
    return pasted(state(schedule, z, level), known.to(z) + float(level) * z, mask)


def renewed(known: Tensor, paste: Paste) -> Constraint:
    """What is known is noised anew at every move: known + s z is pasted."""

    def constrain(x: Tensor, move: Move, before: Visited, rng: Draws) -> Tensor:
        s = float(move.t)
        return paste(x, known.to(x) + s * rng.normal(x) if s else known)

    return constrain


def kept(known: Tensor, paste: Paste) -> Constraint:
    """What is known keeps the noise that it had, less what a move removes."""

    def constrain(x: Tensor, move: Move, before: Visited, rng: Draws) -> Tensor:
        s, t = float(move.t), column(before.t, x)
        if s == 0:
            return paste(x, known)
        clean = known.to(x)
        shrink = (s / t).clamp(max=1)
        variance = shrink**2 * (t**2 - s**2).abs().where(t > s, s**2 - t**2)
        mean = clean + shrink**2 * (before.x - clean)
        return paste(x, mean + variance.sqrt() * rng.normal(x))

    return constrain
