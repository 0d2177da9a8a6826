"""How fast a process loses its signal: what likelihood weights are made of."""

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.schedules import Schedule


def rate(schedule: Schedule, t: Tensor) -> Tensor:
    """gamma'(t), the derivative of -log SNR = 2 log sigma, shape of t.

    It is g(t)^2 / std(t)^2 of the process as an SDE, the weight of an eps-error in the
    likelihood (Song 2021b, eq. 8; Kingma 2021, eq. 18).  It stays differentiable with respect to
    the parameters of a learned schedule.
    """
    with torch.enable_grad():
        t = torch.as_tensor(t, dtype=torch.float64).detach().requires_grad_()
        gamma = 2 * schedule.sigma(t).log()
        learned = isinstance(schedule, nn.Module)
        (slope,) = torch.autograd.grad(gamma.sum(), t, create_graph=learned)
    return slope
