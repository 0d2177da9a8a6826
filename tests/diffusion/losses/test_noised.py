"""Cells that are missing: what the loss makes of them, in closed form."""

import math

import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction
from ddpm_cli.diffusion.losses.noised import Noised
from ddpm_cli.diffusion.rng import Rng

RHO, SHARE, SIGMA = 0.8, 0.3, 0.7


def gaussian(x: Tensor, rho: float, sigma: float = SIGMA) -> tuple[Tensor, Tensor]:
    """E[x0 given x] [B, 2] and log density [B] of two unit normals of a correlation, noised."""
    covariance = torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64)
    noised = covariance + sigma**2 * torch.eye(2, dtype=torch.float64)
    seen = torch.linalg.solve(noised, x.T).T
    return seen @ covariance, -(x * seen).sum(1) / 2 - float(noised.logdet()) / 2


def mixed(x: Tensor) -> Tensor:
    """What is optimal where the second cell is missing in a SHARE of the rows.

    There an independent unit normal stands for it: the first cell is seen in a mixture of rows
    with and without their correlation, the second one in whole rows alone.
    """
    (whole, log_whole), (lacking, log_lacking) = gaussian(x, RHO), gaussian(x, 0.0)
    weight = torch.sigmoid(log_lacking - log_whole + math.log(SHARE / (1 - SHARE)))
    first = whole[:, 0] + weight * (lacking - whole)[:, 0]
    return torch.stack([first, whole[:, 1]], 1)


def rows(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    x0 = torch.stack([normal[:, 0], RHO * normal[:, 0] + (1 - RHO**2) ** 0.5 * normal[:, 1]], 1)
    gone = torch.rand(count, generator=generator) < SHARE
    x0[:, 1] = torch.where(gone, torch.nan, x0[:, 1])
    return x0


def seen(x0: Tensor, denoise: object) -> Noised:
    sigma = torch.full((len(x0),), SIGMA, dtype=torch.float64)

    def predict(x: Tensor, sigma: Tensor) -> Prediction:
        return Prediction(denoise(x))  # type: ignore[operator]

    return Noised.at(predict, x0, sigma, Rng([5, 6]) if len(x0) == 2 else Rng(range(len(x0))), {})  # type: ignore[arg-type]


def test_the_optimum_is_that_of_an_independent_cell_in_place_of_a_missing_one() -> None:
    """No function of what is seen lowers the loss: its slope along each is 0 but for chance."""
    noised = seen(rows(20_000), mixed)
    error = (noised.prediction.x0 - noised.x0) * noised.known
    x = noised.x
    some = [torch.ones_like(x[:, 0]), *x.unbind(1), x.prod(1), x[:, 0] ** 3, x.sum(1).tanh()]
    slopes = torch.stack([one[:, None] * error for one in some])
    z = slopes.mean(1) / (slopes.std(1) / len(x) ** 0.5)
    assert float(z.abs().max()) < 4
    # A mean of 0 in place of what is missing, and the whole rows alone, have other optima.
    loss = {
        f.__name__: float(seen(rows(20_000), f).error(noised.sigma).mean())
        for f in (mixed, whole_rows)
    }
    assert loss["mixed"] < loss["whole_rows"]


def whole_rows(x: Tensor) -> Tensor:
    return gaussian(x, RHO)[0]


def test_what_is_missing_counts_for_nothing_and_has_no_gradient() -> None:
    x0 = torch.tensor([[1.0, math.nan], [math.nan, math.nan]], dtype=torch.float64)
    slope = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    noised = seen(x0, lambda x: slope * x)
    loss = noised.error(torch.ones(2, dtype=torch.float64))
    expected = (0.3 * noised.x[0, 0] - 1) ** 2 / 2
    assert loss.tolist() == [pytest.approx(float(expected)), 0.0]
    loss.sum().backward()
    assert slope.grad is not None
    assert bool(slope.grad.isfinite())


def test_noise_there_has_the_size_of_normalized_data() -> None:
    x0 = torch.full((20_000, 1), math.nan, dtype=torch.float64)
    x = seen(x0, lambda x: x).x
    assert float(x.var()) == pytest.approx(1 + SIGMA**2, rel=0.05)
