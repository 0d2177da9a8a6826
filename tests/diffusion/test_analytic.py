"""Measured moments: what they are of exact denoisers, and what follows from them."""

import math
from itertools import pairwise

import pytest
import torch
from exact import (
    Fresh,
    by_sigma,
    gaussian,
)
from golden.analytic_model import Mixture

from ddpm_cli.diffusion.analytic import (
    Analytic,
    Moments,
    grid,
    predicted_noise,
    squares,
    trajectory,
)
from ddpm_cli.diffusion.schedules.tables import cosine, linear


def test_moments_interpolate_and_are_exact_at_their_levels() -> None:
    sigma = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    found = Moments(sigma, torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64))
    assert torch.equal(found.at(sigma), found.gamma)
    assert float(found.at(torch.tensor(math.sqrt(0.1)))) == pytest.approx(0.35)
    assert found.at(torch.tensor([0.01, 99.0])).tolist() == pytest.approx([0.2, 0.9])
    assert float(found.variance(torch.tensor(2.0))) == pytest.approx(
        4 * (1 - 0.5 - 0.4 * math.log10(2))
    )
    assert Moments(sigma[:1], found.gamma[:1]).at(sigma).tolist() == [0.2] * 3


@pytest.mark.parametrize("count", [1, 7, 100, 1000, 2000])
def test_grid_holds_trained_levels_only(count: int) -> None:
    levels = grid(cosine(), count)
    trained = cosine().sigma(torch.arange(1, 1001).double() / 1000)
    assert len(levels) == {1: 1, 2000: 1000}.get(count, len(levels)) <= count
    assert bool(torch.isin(levels, trained).all())
    assert bool((levels.diff() > 0).all())
    if count > 1:
        assert levels[0] == trained[0]
        assert levels[-1] == trained[-1]


def test_squares_of_an_exact_denoiser_have_the_moments_of_theory() -> None:
    """Normal data of variance v: eps_hat has the second moment t^2 / (v + t^2)."""
    x0 = 0.4 + 0.5 * Fresh(1).normal(torch.empty(200, 200))
    mixture = Mixture([1.0], [[0.4] * 200], [[0.25] * 200])
    denoiser = by_sigma(mixture, linear())
    for t in (0.1, 0.5, 3.0):
        sigma = torch.tensor(t, dtype=torch.float64)
        noise = Fresh(2).normal(x0)
        norm, error = squares(noise, predicted_noise(denoiser, x0, noise, sigma))
        gamma = t**2 / (0.25 + t**2)
        assert float(norm.mean()) == pytest.approx(gamma, rel=0.03)
        assert float(error.mean()) == pytest.approx(1 - gamma, rel=0.03)
        variance = Moments(sigma[None], (1 - error.mean())[None]).variance(sigma)
        assert float(variance) == pytest.approx(0.25 * t**2 / (0.25 + t**2), rel=0.03)


def test_covariance_is_clipped_and_scaled_by_shares() -> None:
    sigma = torch.tensor([1.0], dtype=torch.float64)
    denoiser, x = by_sigma(gaussian(0.4, 0.25), linear()), torch.zeros(2, 1).double()
    for gamma, want in ((0.4, 0.6), (1.5, 0.0), (-3.0, 1.0)):
        made = Analytic(denoiser, Moments(sigma, torch.tensor([gamma]).double())).bind()
        assert torch.allclose(made(x, sigma[0]).covariance, torch.tensor(want).double())
    shares = torch.tensor([[0.5], [9.0]])
    made = Analytic(denoiser, Moments(sigma, torch.tensor([0.4]).double()), lambda: shares).bind()
    assert made(x, sigma[0]).covariance.flatten().tolist() == pytest.approx([0.3, 1.0])
    assert made.schedule is denoiser.schedule


def test_trajectory_is_optimal_among_all() -> None:
    schedule = linear(steps=30)
    levels = schedule.sigma(torch.arange(1, 31).double() / 30)
    # On normal data every path costs the same, so this is other data.
    variance = 0.25 * levels**2 / (0.25 + levels**2) * (1 + 0.5 * levels.log().sin())
    gamma = 1 - variance / levels**2
    assert trajectory(schedule, Moments(levels, gamma), 30) == list(range(30))
    assert trajectory(schedule, Moments(levels, gamma), 2) == [0, 29]

    def cost(path: tuple[int, ...]) -> float:
        total = 0.0
        for low, high in pairwise(path):
            ratio = levels[low] ** 2 / levels[high] ** 2
            small = levels[low] ** 2 * (1 - ratio)
            spread = small + (1 - ratio) ** 2 * variance[high]
            total += float((spread / small).log())
        return total

    found = trajectory(schedule, Moments(levels, gamma), 4)
    every = [(0, a, b, 29) for a in range(1, 29) for b in range(a + 1, 29)]
    assert tuple(found) == min(every, key=cost)
    with pytest.raises(ValueError, match="2 to 30"):
        trajectory(schedule, Moments(levels, gamma), 31)
