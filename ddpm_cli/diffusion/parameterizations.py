"""What the network predicts: coefficients (skip, out, scale) of the denoised image.

    x0 = skip * x + out * network(scale * x, label)

at the noise level sigma, in sigma-space (x = x0 + sigma * eps).  Knowing `skip` and `out` is
enough to turn any prediction into any other and to state each loss in the network's own output.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule


class Coefficients(NamedTuple):
    """Three numbers a noise level: tensors of the shape of sigma."""

    skip: Tensor
    out: Tensor
    scale: Tensor


def eps(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """The network predicts the noise: x0 = x - sigma * eps (Ho 2020, eq. 15)."""
    return Coefficients(torch.ones_like(sigma), -sigma, schedule.alpha(sigma))


def x0(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """The network predicts the clean image itself (Salimans 2022, section 4)."""
    return Coefficients(torch.zeros_like(sigma), torch.ones_like(sigma), schedule.alpha(sigma))


def v(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """The network predicts the velocity, in native scale alpha * eps - sigma_t * x0.

    With sigma_t = alpha * sigma this gives x0 = x / (1 + sigma^2) - sigma / (alpha (1 + sigma^2))
    * v, and alpha - free coefficients for every process that keeps the variance (Salimans 2022,
    section 4; appendix D).
    """
    alpha = schedule.alpha(sigma)
    share = 1 / (1 + sigma**2)
    return Coefficients(share, -sigma * share / alpha, alpha)
