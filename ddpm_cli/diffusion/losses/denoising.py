"""Objectives that are weighted squared errors of the denoised image.

nearest: of so many draws the one nearest to the image is its noise (`pairing.nearest`; 1: any).
SNR = 1 / sigma^2 throughout, and the error of eps is the error of x0 divided by sigma.
"""

from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.settings.knobs import Eta, Few, Positive, Share, Sigma


def simple(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    nearest: Few = 1,
    **condition: object,
) -> Tensor:
    """Mean squared error of the network's own output: L_simple, the v-loss, the x0-loss.

    The output that would be exact is (x0 - skip * x) / out, so the error in output space is the
    error of x0 divided by `out` (Ho 2020, eq. 14 for eps; Salimans 2022, eq. 13 for v).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition, nearest)
    return seen.error(denoise.parameterization(seen.sigma, denoise.schedule).out)


def p2(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    k: Positive = 1.0,
    gamma: Eta = 1.0,
    nearest: Few = 1,
    **condition: object,
) -> Tensor:
    """Squared error of eps, less where the image is nearly clean: 1 / (k + SNR)^gamma.

    Choi 2022, eq. 8.
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition, nearest)
    loss = seen.error(seen.sigma)
    return column((k + seen.sigma**-2) ** -gamma, loss) * loss


def min_snr(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    gamma: Positive = 5.0,
    nearest: Few = 1,
    **condition: object,
) -> Tensor:
    """Squared error of x0 weighted by min(SNR, gamma), whatever the network predicts.

    It is the error of eps times min(1, gamma * sigma^2) (Hang 2023, section 3.4).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition, nearest)
    loss = seen.error(seen.sigma)
    return column((gamma * seen.sigma**2).clamp(max=1), loss) * loss


def velocity(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    floor: Share = 0.05,
    nearest: Few = 1,
    **condition: object,
) -> Tensor:
    """Squared error of the velocity eps - x0 of flow matching, whatever the network predicts.

    It is the error of x0 divided by sigma / (1 + sigma), its time, which at the clean end counts
    as `floor`: otherwise a network of x0 would learn nothing but that end (Li 2025, section 4).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition, nearest)
    return seen.error((seen.sigma / (1 + seen.sigma)).clamp(min=floor))


def edm(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    sigma_data: Sigma = 0.5,
    nearest: Few = 1,
    **condition: object,
) -> Tensor:
    """Squared error of x0 weighted by (sigma^2 + d^2) / (sigma d)^2, d = sigma_data.

    With EDM's parameterization it is the error of the network's own output (Karras 2022, table
    1).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition, nearest)
    return seen.error(seen.sigma * sigma_data / (seen.sigma**2 + sigma_data**2).sqrt())


def dsm(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    weighting: Literal["noise", "likelihood"] = "noise",
    **condition: object,
) -> Tensor:
    """Denoising score matching, weighted by the noise's variance or by the likelihood's g^2.

    With score = (E[x0 given x] - x) / sigma^2 the squared error ||score + eps / sigma||^2 / d
    times sigma^2 is the error of eps (Vincent 2011; Song 2019, eq. 5 and 6); times g^2 it is
    gamma'(t) times that (Song 2021b, eq. 8).
    """
    seen = Noised.at(denoise, x0, denoise.schedule.sigma(t), rng, condition)
    loss = seen.error(seen.sigma)
    return loss if weighting == "noise" else column(rate(denoise.schedule, t), loss) * loss
