"""What networks predict: whichever it is, the clean image is the same."""

from itertools import pairwise

import pytest
import torch
from declared import load
from exact import TWO_PIXELS, by_sigma, entries, schedules

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.schedules.processes import flow, vp
from ddpm_cli.settings import catalog


@pytest.mark.parametrize("name", catalog.names("parameterization"))
def test_every_exact_prediction_is_the_same_clean_image(
    name: str, subtests: pytest.Subtests
) -> None:
    """Also: `skip` and `out` take the clean image back to what the network predicts."""
    for schedule, process in schedules().items():
        if name == "mu" and process.steps is None:
            continue  # mu needs a discrete schedule
        with subtests.test(schedule=schedule):
            _, sigma = entries(process)
            generator = torch.Generator().manual_seed(0)
            noise = torch.randn(len(sigma), 2, generator=generator, dtype=torch.float64)
            x = 0.3 + sigma[:, None] * noise
            want = TWO_PIXELS.x0(x, 1.0, sigma)
            denoise = by_sigma(TWO_PIXELS, process, name)
            got = denoise(x, sigma).x0
            assert torch.allclose(got, want, rtol=0, atol=1e-9)

            skip, out, scale = load("parameterization", name)(sigma, process)
            output = denoise.network(scale[:, None] * x, sigma)
            back = (want - skip[:, None] * x) / out[:, None]
            # Where little noise is left it is a small part of x, and rounding counts that much
            # more.
            lost = 1e-13 * (1 + x.abs()) / out.abs()[:, None]
            assert ((back - output).abs() <= 1e-9 + lost).all()


def test_mu_needs_an_index_below() -> None:
    with pytest.raises(ValueError, match="discrete schedule"):
        parameterizations.mu(torch.ones(1).double(), vp())


def test_eulers_steps_along_the_velocity_are_those_of_ddim() -> None:
    """x_s = x_t + (s - t) v on any grid of times, in the scale of the straight path."""
    process = flow()
    t = torch.tensor([0.9, 0.61, 0.3, 0.07, 0.02], dtype=torch.float64)
    denoise = by_sigma(TWO_PIXELS, process, "flow")
    native = torch.tensor([[1.3, -0.4]], dtype=torch.float64)
    x = native / (1 - t[0])
    for now, then in pairwise(t):
        velocity = TWO_PIXELS.eps(native, 1 - now, now) - TWO_PIXELS.x0(native, 1 - now, now)
        native = native + (then - now) * velocity
        levels = process.sigma(torch.stack([now, then]))
        x0 = denoise(x, levels[:1]).x0
        x = x0 + (x - x0) * levels[1] / levels[0]
    assert torch.allclose(x * (1 - t[-1]), native, rtol=0, atol=1e-14)


def test_a_velocity_towards_the_data_is_the_other_with_its_sign_turned() -> None:
    sigma = torch.tensor([0.1, 3.0], dtype=torch.float64)
    skip, out, scale = parameterizations.flow(sigma, flow(), target="data")
    usual = parameterizations.flow(sigma, flow())
    assert torch.equal(out, -usual.out)
    assert torch.equal(skip, usual.skip)
    assert torch.equal(scale, usual.scale)
