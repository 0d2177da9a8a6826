"""The rate of a process, by which its likelihood weighs the times."""

import pytest
import torch
from exact import schedules

from ddpm_cli.diffusion.rates import rate


def test_rate_is_the_slope_of_the_log_signal_to_noise_ratio(subtests: pytest.Subtests) -> None:
    t, step = torch.tensor([0.3033, 0.5055, 0.9011], dtype=torch.float64), 1e-6
    for name, process in schedules().items():
        with subtests.test(schedule=name):
            with torch.no_grad():
                rise = process.sigma(t + step).log() - process.sigma(t - step).log()
            slope = rate(process, t).detach()
            assert torch.allclose(slope, rise / step, rtol=1e-6)
            assert (slope > 0).all()
