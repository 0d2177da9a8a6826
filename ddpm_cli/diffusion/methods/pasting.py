"""Methods that paste what is known into the states of a walk, noised as these are."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.known_pixels import Paste, kept, renewed
from ddpm_cli.diffusion.measuring import Measured, Method, Spectral, solved
from ddpm_cli.diffusion.posterior_means import spectral


def replace(seen: Measured) -> Method:
    """What is known is noised anew at every move and pasted: RePaint with jumps of the levels.

    x + A^+ A (A^+ y + s z - x) (Choi 2021, ILVR, eq. 8; of a mask Lugmayr 2022, eq. 8).
    """
    operator = spectral(seen.operator)
    return Method(constrain=renewed(solved(operator, seen.y, 0.0), _paste(operator)))


def posterior(seen: Measured) -> Method:
    """What is known keeps the noise that it had, less what a move removes: q(x_s given x_t, x0).

    x + A^+ A (x' - x) with x' of the mean x0 + s^2 / t^2 (x_t - x0), x0 being A^+ y there, and of
    the posterior's variance (Ho 2020, eq. 6 and 7).
    """
    operator = spectral(seen.operator)
    return Method(constrain=kept(solved(operator, seen.y, 0.0), _paste(operator)))


def _paste(operator: Spectral) -> Paste:
    """A state whose part that is seen is that of another."""

    def paste(x: Tensor, known: Tensor) -> Tensor:
        change = operator.into(known.to(x) - x)
        return x + operator.out(torch.where(operator.sizes(x) > 0, change, 0.0))

    return paste
