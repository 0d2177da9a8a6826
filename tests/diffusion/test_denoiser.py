"""The denoiser: one level or one each, and conditions on their way to the network."""

import torch
from exact import TWO_PIXELS, by_sigma
from torch import Tensor

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.labels import index
from ddpm_cli.diffusion.schedules.tables import linear


def test_denoiser_takes_one_level_or_one_each() -> None:
    denoise = by_sigma(TWO_PIXELS, linear(), "v", torch.tanh)
    x, sigma = torch.randn(3, 2).double(), torch.tensor([0.5, 2.0, 50.0], dtype=torch.float64)
    each = denoise(x, sigma)
    for row in range(3):
        alone = denoise(x[row : row + 1], sigma[row])
        assert torch.allclose(alone.x0[0], each.x0[row], rtol=0, atol=1e-13)
        assert torch.allclose(alone.range[0], each.range[row], rtol=0, atol=1e-13)
    assert by_sigma(TWO_PIXELS, linear())(x, sigma).range is None


def test_bound_conditions_reach_the_network() -> None:
    seen: list[object] = []

    class Network(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor, classes: Tensor) -> Tensor:
            seen.append((label.shape, classes))
            return x

    denoise = Denoiser(Network(), linear(), parameterizations.x0, index)
    bound = denoise.bind(classes="seven")
    bound(torch.zeros(3, 1), torch.tensor(1.0))
    assert seen == [((3,), "seven")]
    assert bound.schedule is denoise.schedule
