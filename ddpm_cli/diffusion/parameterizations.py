"""What the network predicts: coefficients (skip, out, scale) of the denoised image.

    x0 = skip * x + out * network(scale * x, label)

at the noise level sigma, in sigma-space (x = x0 + sigma * eps).  Knowing `skip` and `out` is
enough to turn any prediction into any other and to state each loss in the network's own output.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.settings.knobs import Sigma


class Coefficients(NamedTuple):
    """Three numbers a noise level: tensors of the shape of sigma."""

    skip: Tensor
    out: Tensor
    scale: Tensor


def eps(sigma: Tensor, schedule: Schedule, *, unit_input: bool = False) -> Coefficients:
    """The network predicts the noise: x0 = x - sigma * eps (Ho 2020, eq. 15).

    unit_input: scale the input to unit variance, 1 / sqrt(1 + sigma^2), where the process does
    not: variances that explode are hard on a network.
    """
    scale = (1 + sigma**2).rsqrt() if unit_input else schedule.alpha(sigma)
    return Coefficients(torch.ones_like(sigma), -sigma, scale)


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


def score(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """The network predicts the score of the native state, -eps / sigma_t (Song 2021, eq. 7).

    With sigma_t = alpha * sigma and Tweedie's formula, x0 = x + alpha * sigma^2 * score.
    """
    alpha = schedule.alpha(sigma)
    return Coefficients(torch.ones_like(sigma), alpha * sigma**2, alpha)


def mu(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """The network predicts the mean of q(x_(t-1) given x_t, x0) in native scale (Ho 2020, eq. 7).

    mu = alpha_s (x0 + r (x - x0)) with r = s^2 / sigma^2, s one index below; s = 0 below the
    first.  Only a discrete process has such an index.  It suits moves of one index, as those of
    ancestral sampling: longer ones multiply what the network gets wrong.
    """
    if schedule.steps is None:
        what = "mu needs a discrete schedule: it predicts the state one index below"
        raise ValueError(f"{what}; set schedule.steps=1000, and no schedule.continuous")
    time = schedule.time(sigma)
    # Below the first index lies the clean image; s falls to 0 on the way there.
    s = schedule.previous(sigma) * (time * schedule.steps - 1).clamp(0, 1)
    ratio = (s / sigma) ** 2
    return Coefficients(
        -ratio / (1 - ratio),
        1 / (schedule.alpha(s) * (1 - ratio)),
        schedule.alpha(sigma),
    )


def edm(sigma: Tensor, schedule: Schedule, *, sigma_data: Sigma = 0.5) -> Coefficients:
    """EDM's preconditioning: input and target of unit variance at every level (Karras 2022).

    skip = d^2 / (sigma^2 + d^2), out = sigma d / sqrt(sigma^2 + d^2), scale = 1 / sqrt(sigma^2 +
    d^2), d the standard deviation of the data (table 1).
    """
    total = sigma**2 + sigma_data**2
    return Coefficients(sigma_data**2 / total, sigma * sigma_data * total.rsqrt(), total.rsqrt())


def flow(
    sigma: Tensor, schedule: Schedule, *, target: Literal["noise", "data"] = "noise"
) -> Coefficients:
    """The network predicts the velocity eps - x0 of the straight path (Lipman 2023; Liu 2023).

    With x_t = (1 - t) x0 + t eps, sigma = t / (1 - t): x0 = x_t - t v, so skip = 1 / (1 + sigma)
    = scale and out = -sigma / (1 + sigma). target: data, where the network's velocity is x0 - eps.
    """
    alpha = 1 / (1 + sigma)
    sign = -1 if target == "noise" else 1
    return Coefficients(alpha, sign * sigma * alpha, alpha)


def ve(sigma: Tensor, schedule: Schedule) -> Coefficients:
    """EDM's form of score models whose variance explodes: x0 = x + sigma * network(x).

    The network predicts sigma times the score, which is -eps (Karras 2022, table 1, VE).
    """
    return Coefficients(torch.ones_like(sigma), sigma, torch.ones_like(sigma))
