"""Consistency models: at every level of one path the network answers with the same image."""

from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.few_steps import LOW, lower, refuse_noise, refuse_open
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.settings.knobs import Count, Factor, Few, NonNegative, Sigma

TINY = 1e-8  # a distance below which its direction says nothing


def consistency(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    step: int,
    *,
    double: Count = 1000,
    stages: Few = 8,
    q: Factor = 2.0,
    k: NonNegative = 8.0,
    b: NonNegative = 1.0,
    c: NonNegative = 0.0,
    weighting: Literal["edm", "inverse", "even"] = "edm",
    sigma_data: Sigma = 0.5,
    **condition: object,
) -> Tensor:
    """Distance of the answers at two levels of one noise, that at the lower one taken as right.

    w(t) (sqrt(|f(x0 + t eps) - f(x0 + r eps)|^2 / d + c^2) - c) with r of `lower`, without a
    gradient through the second answer, which dropout thins alike (Geng 2025, "Consistency models
    made easy", algorithm 1 and section 4). f at r = 0 is x0, so a denoiser is where it begins,
    and it is tuned as r comes closer to t. double: steps until r comes closer, by a factor of q;
    stages: how often, the first included; k, b: how much closer to 0 r is where t is low; c:
    distances below it are squared. weighting: w is 1 / t^2 + 1 / sigma_data^2 (edm, as authors
    have it), 1 / t + 1 / sigma_data (inverse), of which the low levels have less, or 1 (even).
    """
    refuse_noise(denoise)
    refuse_open(denoise)
    high = denoise.schedule.sigma(t)
    low = lower(high, min(step // double, stages - 1), q=q, k=k, b=b)
    with torch.random.fork_rng([x0.device] if x0.device.type == "cuda" else []):
        seen = Noised.at(denoise, x0, high, rng, condition)
    with torch.no_grad():
        x = seen.x0 + column(low / high, x0) * (seen.x - seen.x0)
        known = denoise(x, low.clamp(min=LOW), **condition).x0
        goal = torch.where(column(low, x) > 0, known, seen.x0)
    squared = seen._replace(x0=goal).error(torch.ones_like(high))
    distance = (squared + max(c, TINY) ** 2).sqrt() - max(c, TINY)
    power = {"edm": 2, "inverse": 1}.get(weighting)
    weight = torch.ones_like(high) if power is None else high**-power + sigma_data**-power
    return column(weight, distance) * distance
