"""The number that tells the network which noise level it sees: float64, shape of sigma.

A network gets it as float32 or wider (`shapes.told`), never as a 16-bit float: bfloat16 takes the
indices 997, 998, 999 to 996, 1000, 1000.
"""

from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import double
from ddpm_cli.settings.knobs import Scale, Sigma


def index(
    sigma: Tensor,
    schedule: Schedule,
    *,
    scale: Scale = 1.0,
    nearest: bool = False,
    reverse: bool = False,
) -> Tensor:
    """Index 0 .. T-1 of the level in the trained table, fractional between two entries.

    Continuous processes are labelled as if they had T = 1000 (Nichol 2021's 0-based index).
    scale: of the index, 1000 / T where a network was told of rescaled time steps. nearest: the
    index of the nearest entry, as EDM's code labels such networks (Karras 2022, table 1).
    reverse: counted from the noisiest entry, as NCSN does (Song 2019).
    """
    at = schedule.time(sigma) * (schedule.steps or 1000) - 1
    if nearest:
        levels = schedule.levels
        at = (double(sigma)[..., None] - levels).abs().argmin(-1).double()
    if reverse:
        at = (schedule.steps or 1000) - 1 - at
    return scale * at


def time(
    sigma: Tensor, schedule: Schedule, *, scale: Scale = 999.0, reverse: bool = False
) -> Tensor:
    """The time t in [0, 1] times 999, Score SDE's label of continuous processes.

    reverse: 1 - t, of networks whose time runs from noise to data (Lipman 2023).
    """
    at = schedule.time(sigma)
    return scale * (1 - at if reverse else at)


def log_sigma(
    sigma: Tensor, schedule: Schedule, *, scale: Scale = 0.25, unit: Sigma = 1.0
) -> Tensor:
    """log(sigma / unit) / 4, EDM's c_noise, with unit 1 (Karras 2022, table 1).

    VE's column of that table has scale 1 and unit 2.
    """
    return scale * (double(sigma) / unit).log()


def log_snr(sigma: Tensor, schedule: Schedule, *, scale: Scale = 1.0) -> Tensor:
    """The logarithm of the signal-to-noise ratio, -2 log(sigma) (Kingma 2021)."""
    return -2 * scale * double(sigma).log()


def sigma(sigma: Tensor, schedule: Schedule) -> Tensor:
    """The level itself, NCSN++'s label before its logarithm (Song 2021)."""
    return double(sigma)
