"""How bytes become states for the likelihood of the ODE, and what the states are worth.

P(x0) is the mean of w = p(x) r(x0 given x) / q(x given x0) over states x drawn from q, where p is
the density at the lowest level and r the decoder. The mean of log w is a bound on log P(x0), and
so is the log of the mean of K of them, which is no worse (Burda 2016, eq. 8). That holds of
weights that are known: an error whose mean is 0 in log w makes w larger on average, see `crossed`.
"""

import math

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.likelihood import at_lowest
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.variational import last_step, step_bits

TAIL = 3.0  # deviations within which truncated noise lies, or further on where its bin is wider


def width(bits: float) -> float:
    """How wide the bins of 2^bits levels from -1 to 1 are."""
    return 2 / (2**bits - 1)


def uniform(schedule: Schedule, x0: Tensor, u: Tensor, levels: Tensor, bits: float) -> Tensor:
    """States of images x0 [B, ...] with uniform noise in their bins (Uria 2013; Song 2021).

    Then log r / q is the log of the width of a bin for each value, whatever the state.
    """
    return at_lowest(schedule, x0 + (u - 0.5) * width(bits), levels)


@torch.no_grad()
def truncated(
    denoise: Denoise, x0: Tensor, u: Tensor, levels: Tensor, bits: float
) -> tuple[Tensor, Tensor]:
    """States x0 + sigma z at the lowest level, as the process has them, and log r / q in nats [B].

    z is a unit normal that is cut off where the bin ends (Zheng 2023, section 4.2), or at three
    deviations if that is further: lowest levels may be wider than a bin. Then the decoder, that
    of the bound, says the rest: of a pixel that never changes the weight is near 1, while uniform
    noise costs it the ratio of the bin to the level. u: uniform numbers like x0.

    It is given for the density of images that `log_density` says, less log of the width of a bin
    for each value, so that uniform noise has 0.
    """
    size, sigma = x0[0].numel(), float(levels[-2])
    reach = max(width(bits) / 2 / sigma, TAIL)
    z, log_q = normal_within(u, reach)
    x = x0 + sigma * z
    step = last_step(denoise.schedule, levels, len(x0))
    decoded = step_bits(x0, denoise(x, levels[-2]), step, "small", bits=bits) * math.log(2) * size
    alpha = float(denoise.schedule.alpha(levels[-2]))
    scale = math.log(alpha) + math.log(sigma) - math.log(width(bits))
    return x, size * scale - decoded - log_q.flatten(1).sum(1)


def normal_within(u: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Unit normals between -reach and reach of uniform numbers u, and their log density.

    z = Phi^-1(Phi(-reach) + u (Phi(reach) - Phi(-reach))).
    """
    outside, mass = math.erfc(reach / math.sqrt(2)), math.erf(reach / math.sqrt(2))
    # From the nearer end, where the distribution function is exact.
    z = torch.special.ndtri(outside / 2 + torch.minimum(u, 1 - u) * mass).clamp(-reach, 0)
    z = torch.where(u < 0.5, z, -z)
    return z, -(z**2) / 2 - math.log(math.sqrt(2 * math.pi) * mass)


def log_mean(weights: list[Tensor]) -> Tensor:
    """The log of the mean of K weights, of which the logs [B] are given."""
    return torch.stack(weights).logsumexp(0) - math.log(len(weights))


def crossed(weights: list[Tensor]) -> Tensor:
    """A bound on the log of the mean of K weights, of each log two estimates [2, B] -> [B].

    K = 1 has the mean of the estimates; see `crossed_sum`.
    """
    return crossed_sum(torch.stack(weights)) - math.log(len(weights))


def crossed_sum(logs: Tensor) -> Tensor:
    """A bound on the log of a sum of weights, of each log two estimates [K, 2, B] -> [B].

    sum s (log w - log s) is no more than log sum w for any shares s, and as much where they are
    those of the weights (Donsker and Varadhan 1975, as Jensen's inequality). It is linear in
    log w: with shares from one estimate and log w from the other an error without bias leaves it
    without bias. The mean of both ways.
    """
    shares = logs.log_softmax(0)
    return (shares.exp() * (logs.flip(1) - shares)).sum(0).mean(0)
