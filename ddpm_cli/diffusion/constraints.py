"""Known pixels along a walk: (known, mask) -> (x, move, before, rng) -> x with them pasted in.

`known` holds clean pixels [B, ...] where the mask [B or 1, 1, ...] is true.  The walk applies a
constraint to a state at move.t, and at level 0 the clean pixels themselves are pasted.
"""

from functools import partial

from torch import Tensor

from ddpm_cli.diffusion.known_pixels import kept, pasted, renewed
from ddpm_cli.diffusion.steps import Constraint


def replace(known: Tensor, mask: Tensor) -> Constraint:
    """Known pixels are noised anew at every move, q(x_s given x0), as in RePaint.

    x0 + s z (Lugmayr 2022, eq. 8a).  What is drawn beside them is not told where their noise
    went, so that it need not fit; resampling (edits.jumps) mends it.
    """
    return renewed(known, partial(pasted, mask=mask))


def posterior(known: Tensor, mask: Tensor) -> Constraint:
    """Known pixels keep the noise that they had, less what a move removes: q(x_s given x_t, x0).

    x0 + s^2 / t^2 (x_t - x0) + s sqrt(1 - s^2 / t^2) z (Ho 2020, eq. 6 and 7), x_t being where
    the last denoising move started.  After a climb s is above t, and the forward process goes
    on from there: x_t + sqrt(s^2 - t^2) z.
    """
    return kept(known, partial(pasted, mask=mask))
