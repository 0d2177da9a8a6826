"""Score matching without noise: exact and sliced against closed forms."""

import math
from functools import partial

import pytest
import torch
from exact import Fresh, Recorded, by_sigma
from golden.analytic_model import Mixture
from probes import smooth_denoiser
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.losses.denoising import dsm
from ddpm_cli.diffusion.losses.matching import exact, sliced
from ddpm_cli.diffusion.schedules.processes import ve

CORRELATED = Mixture([0.3, 0.7], [[-0.5, 0.2], [0.4, 0.6]], [[0.1, 0.3], [0.2, 0.05]])


class TestMatching:
    def test_best_linear_network_has_the_score_of_a_gaussian(self) -> None:
        """The gradient vanishes exactly at the score of the sample's mean and variance."""
        schedule, sigma = ve(), 0.7
        t = schedule.time(torch.full((500,), sigma, dtype=torch.float64))
        x0, noise = torch.randn(2, 500, 1, generator=torch.Generator().manual_seed(1)).double()
        x = x0 + schedule.sigma(t)[:, None] * noise
        mean, variance = x.mean(), x.var(correction=0)
        slope = (1 - sigma**2 / variance).requires_grad_()
        offset = (sigma**2 / variance * mean).requires_grad_()

        def loss() -> Tensor:
            denoise = Denoiser(
                Line(slope, offset), schedule, parameterizations.x0, lambda s, schedule: s
            )
            return exact(denoise, x0, t, Recorded([noise])).mean()

        best = loss()
        for gradient in torch.autograd.grad(best, [slope, offset]):
            assert float(gradient) == pytest.approx(0, abs=1e-10)
        with torch.no_grad():
            slope += 0.01
        assert float(loss().detach()) > float(best.detach())

    @pytest.mark.parametrize("loss", [exact, partial(sliced, projections=3)])
    def test_agree_with_denoising(self, loss: object) -> None:
        """In expectation each is the denoising loss less 1."""
        schedule, count = ve(), 40_000
        denoise = by_sigma(CORRELATED, schedule, "x0")
        t = torch.full((count,), 0.5, dtype=torch.float64)
        generator = torch.Generator().manual_seed(2)
        row = torch.multinomial(CORRELATED.weights, count, True, generator=generator)
        unit = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        x0 = CORRELATED.means[row] + CORRELATED.variances[row].sqrt() * unit
        gap = loss(denoise, x0, t, Fresh(5)) + 1 - dsm(denoise, x0, t, Fresh(5))  # type: ignore[operator]
        assert float(gap.detach().mean()) == pytest.approx(
            0, abs=4 * float(gap.detach().std()) / math.sqrt(count)
        )

    def test_projections_average_to_the_trace(self) -> None:
        denoise = smooth_denoiser(ve())
        x0, t = torch.zeros(1, 2).double(), torch.full((1,), 0.6).double()
        noise = [torch.ones(1, 2), *torch.randn(1000, 1, 2, generator=torch.Generator())]
        want = exact(denoise, x0, t, Recorded(noise[:1]))
        got = sliced(denoise, x0, t, Recorded(noise), projections=1000)
        assert float(got.detach()) == pytest.approx(float(want.detach()), abs=0.1)
        one = [float(sliced(denoise, x0, t, Recorded([noise[0], n])).detach()) for n in noise[1:9]]
        assert len({round(value, 9) for value in one}) == 2, "equal or opposite signs"


class Line(nn.Module):
    """slope * x + offset."""

    def __init__(self, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.slope * x + self.offset
