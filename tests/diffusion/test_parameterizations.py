"""What networks predict: whichever it is, the clean image is the same."""

import pytest
import torch
from declared import load
from exact import TWO_PIXELS, by_sigma, entries, schedules

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.schedules.processes import vp
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
