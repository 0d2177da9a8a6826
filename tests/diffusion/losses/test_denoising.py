"""Weighted squared errors of the denoised image; see golden/test_weights.py for the published."""

import pytest
import torch
from exact import Recorded
from probes import smooth_denoiser

from ddpm_cli.diffusion.losses import edm, velocity
from ddpm_cli.diffusion.schedules.processes import ve


def test_velocity_is_an_error_of_x0_that_is_bounded_at_the_clean_end() -> None:
    """((1 + sigma) / sigma)^2 of it, the velocity of v-prediction less its factor; 400 at most."""
    schedule = ve()
    sigma = torch.tensor([0.011, 0.04, 0.1, 1.0, 30.0], dtype=torch.float64)
    x0, noise = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0)).double()
    denoise, t = smooth_denoiser(schedule), schedule.time(sigma)
    with torch.no_grad():
        got = velocity(denoise, x0, t, Recorded([noise]))
        error = edm(denoise, x0, t, Recorded([noise]), sigma_data=1.0)
        free = velocity(denoise, x0, t, Recorded([noise]), floor=1e-9)
    error = error * sigma**2 / (1 + sigma**2)
    weight = ((1 + sigma) / sigma) ** 2
    assert (free / error).tolist() == pytest.approx(weight.tolist(), rel=1e-6)
    assert (got / error).tolist() == pytest.approx(weight.clamp(max=400).tolist(), rel=1e-6)
