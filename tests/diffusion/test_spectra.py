"""The power of each frequency: of noise, of waves, and in all."""

import math

import pytest
import torch

from ddpm_cli.diffusion import spectra


def test_noise_of_variance_one_has_power_one_everywhere() -> None:
    noise = torch.randn(3, 256, 200, generator=torch.Generator().manual_seed(0)).double()
    frequencies, power = spectra.radial(noise)
    assert frequencies[0] > 0
    assert float(frequencies[-1]) == 0.5
    assert torch.allclose(power[20:], torch.ones(len(power) - 20).double(), atol=0.25)
    assert float(power.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("cycles", [1, 4, 15])
def test_a_wave_has_its_frequency_alone(cycles: int) -> None:
    """A wave of amplitude 1 has the mean square 1/2, all of it in one ring."""
    line = torch.cos(2 * math.pi * cycles * torch.arange(32) / 32)
    frequencies, power = spectra.radial(line.expand(1, 32, 32))
    assert float(frequencies[power.argmax()]) == cycles / 32
    assert float(power.sum() - power.max()) < 1e-9
    radius = [math.hypot(a, b) for a in range(-16, 16) for b in range(-16, 16)]
    members = sum(round(each) == cycles for each in radius)
    assert float(power.max()) * members / 32**2 == pytest.approx(0.5)


def test_the_mean_is_left_out() -> None:
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(spectra.radial(image)[1], spectra.radial(image + 3)[1])


def test_half_is_left_where_noise_is_as_strong() -> None:
    power = torch.tensor([4.0, 0.25])
    share = spectra.left(power, torch.tensor([0.0, 0.5, 2.0, 1e9]))
    assert share.shape == (4, 2)
    assert share[0].tolist() == [1, 1]
    assert float(share[1, 1]) == float(share[2, 0]) == 0.5
    assert float(share[3].max()) < 1e-12
