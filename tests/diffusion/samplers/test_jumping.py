"""The sampler of consistency models with the exact consistency function of normal data."""

import math

import pytest
import torch
from exact import Even, by_sigma, gaussian
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.levels import logsnr
from ddpm_cli.diffusion.samplers import consistency
from ddpm_cli.diffusion.schedules.processes import edm
from ddpm_cli.diffusion.walk import start, walk

DEVIATION = 0.5


@pytest.mark.parametrize("count", [1, 2, 4])
def test_it_draws_normal_data_in_any_number_of_calls(count: int) -> None:
    """f(x, t) = x c / sqrt(c^2 + t^2), where the ODE ends: the deviation is c after each call."""

    def jump(x: Tensor, sigma: Tensor) -> Prediction:
        return Prediction(x * DEVIATION / math.hypot(DEVIATION, float(sigma)))

    schedule, rng = edm(), Even()
    denoise = Wrapped(by_sigma(gaussian(0.0, DEVIATION**2), schedule), jump)
    levels = logsnr(schedule, count=count, low=0.8, high=80.0)
    assert len(levels) == count + 1
    x = start(denoise, levels, torch.empty(10_000, 1).double(), rng)
    *_, last = walk(denoise, x, levels, rng, predictor=consistency)
    assert float(last.x.std()) == pytest.approx(DEVIATION, rel=0.02)
    assert float(last.x.mean()) == pytest.approx(0.0, abs=0.01)
