"""Training objectives: (denoise, x0 [B, ...], t [B], rng) -> loss of each image [B]."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column


def simple(denoise: Denoiser, x0: Tensor, t: Tensor, rng: Rng, **condition: object) -> Tensor:
    """Mean squared error of the network's own output: L_simple, the v-loss, the x0-loss.

    The output that would be exact is (x0 - skip * x) / out, so the error in output space is the
    error of x0 divided by `out` (Ho 2020, eq. 14 for eps; Salimans 2022, eq. 13 for v).
    """
    sigma = denoise.schedule.sigma(t)
    x = x0 + column(sigma, x0) * rng.normal(x0)
    error = denoise(x, sigma, **condition).x0 - x0
    out = denoise.parameterization(sigma, denoise.schedule).out
    loss: Tensor = (error / column(out, x0)).square().flatten(1).mean(1)
    return loss
