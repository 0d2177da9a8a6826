"""Mixtures of normals against another code's, and against their own slopes."""

import torch
from golden.analytic_model import Mixture as Golden

from ddpm_cli.diffusion.mixtures import Mixture

WEIGHTS, CENTRES, DEVIATIONS = [0.2, 0.5, 0.3], [[-1.0, 0.4], [0.3, 0.9], [1.2, -0.7]], [0.3, 0.1]


def mixture() -> Mixture:
    return Mixture(*(torch.tensor(v, dtype=torch.float64) for v in (WEIGHTS, CENTRES, DEVIATIONS)))


def points() -> torch.Tensor:
    return torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_the_score_is_that_of_the_recorded_mixtures() -> None:
    golden = Golden(WEIGHTS, CENTRES, [[d**2 for d in DEVIATIONS]] * 3)
    for sigma in (0.05, 0.7, 30.0):
        level = torch.tensor(sigma, dtype=torch.float64)
        x = (1 + sigma) * points()
        found = x + level**2 * mixture().score(x, level)
        right = golden.x0(x, torch.ones(len(x)).double(), torch.full((len(x),), sigma).double())
        assert torch.allclose(found, right, atol=1e-11)


def test_the_score_is_the_slope_of_the_density() -> None:
    for sigma in (torch.tensor(0.4), torch.linspace(0.1, 2, 50, dtype=torch.float64)):
        x = points().requires_grad_()
        (slope,) = torch.autograd.grad(mixture().log_density(x, sigma).sum(), x)
        assert torch.allclose(mixture().score(x, sigma), slope, atol=1e-12)


def test_the_density_sums_to_one_and_chances_too() -> None:
    line = torch.linspace(-6, 6, 601, dtype=torch.float64)
    x = torch.cartesian_prod(line, line)
    total = mixture().log_density(x, torch.tensor(0.2)).exp().sum() * (line[1] - line[0]) ** 2
    assert abs(float(total) - 1) < 1e-6
    assert torch.allclose(
        mixture().chances(points(), torch.tensor(0.2)).sum(1), torch.ones(50).double()
    )
