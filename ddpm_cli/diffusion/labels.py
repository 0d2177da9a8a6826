"""The number that tells the network which noise level it sees: float32, shape of sigma.

Never a 16-bit float: bfloat16 takes the indices 997, 998, 999 to 996, 1000, 1000.
"""

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import double
from ddpm_cli.settings.knobs import Scale


def index(sigma: Tensor, schedule: Schedule) -> Tensor:
    """Index 0 .. T-1 of the level in the trained table, fractional between two entries.

    Continuous processes are labelled as if they had T = 1000 (Nichol 2021's 0-based index).
    """
    return (schedule.time(sigma) * (schedule.steps or 1000) - 1).to(torch.float32)


def time(sigma: Tensor, schedule: Schedule, *, scale: Scale = 999.0) -> Tensor:
    """The time t in [0, 1] times 999, Score SDE's label of continuous processes."""
    return (scale * schedule.time(sigma)).to(torch.float32)


def log_sigma(sigma: Tensor, schedule: Schedule, *, scale: Scale = 0.25) -> Tensor:
    """log(sigma) / 4, EDM's c_noise (Karras 2022, table 1)."""
    return (scale * double(sigma).log()).to(torch.float32)


def log_snr(sigma: Tensor, schedule: Schedule, *, scale: Scale = 1.0) -> Tensor:
    """The logarithm of the signal-to-noise ratio, -2 log(sigma) (Kingma 2021)."""
    return (-2 * scale * double(sigma).log()).to(torch.float32)


def sigma(sigma: Tensor, schedule: Schedule) -> Tensor:
    """The level itself, NCSN++'s label before its logarithm (Song 2021)."""
    return double(sigma).to(torch.float32)
