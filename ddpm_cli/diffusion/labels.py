"""The number that tells the network which noise level it sees: float32, shape of sigma.

Never a 16-bit float: bfloat16 takes the indices 997, 998, 999 to 996, 1000, 1000.
"""

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule


def index(sigma: Tensor, schedule: Schedule) -> Tensor:
    """Index 0 .. T-1 of the level in the trained table, fractional between two entries.

    Continuous processes are labelled as if they had T = 1000 (Nichol 2021's 0-based index).
    """
    return (schedule.time(sigma) * (schedule.steps or 1000) - 1).to(torch.float32)
