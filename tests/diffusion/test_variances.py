"""The reverse variances where everything is known: normal data and mixtures."""

import math
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from exact import (
    Fresh,
    by_sigma,
    certain,
    gaussian,
    moments,
    process,
    states,
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
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.levels import trailing
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Step

DATA = gaussian(0.4, 0.25)


def known(schedule: Schedule) -> Denoise:
    """The exact denoiser of DATA with the exact variance v t^2 / (v + t^2)."""
    return certain(by_sigma(DATA, schedule), DATA)


@pytest.mark.parametrize(
    ("variance", "want"), [("large", 0.9999), ("small", 0.99107), ("optimal", 1.0)]
)
def test_variance_of_unit_normal_data_after_all_steps(variance: Any, want: float) -> None:
    data, schedule = gaussian(0, 1), linear()
    levels = trailing(schedule, count=1000)
    # What is left after the last noisy move; the last one adds none (x0 itself: v / (1 + s^2)).
    _, got = moments(
        certain(by_sigma(data, schedule), data), levels, partial(ddpm, variance=variance), 0, 1
    )
    assert got == pytest.approx(want - (1e-4 if variance == "optimal" else 0), abs=1e-5)


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize(
    "step",
    [
        partial(ddpm, variance="optimal"),
        partial(ddim, eta=0.0, variance="optimal"),
        partial(ddim, eta=0.7, variance="optimal"),
    ],
)
def test_optimal_variance_is_exact_on_normal_data_in_few_steps(count: int, step: Step) -> None:
    """The state at every level, the prior's mismatch left out, has the data's exact variance."""
    levels = trailing(cosine(), count=count)[:-1]
    mean, variance = moments(known(cosine()), levels, step, 0.4, 0.25)
    assert mean == pytest.approx(0.4, abs=1e-9)
    assert variance == pytest.approx(0.25 + float(levels[-1]) ** 2, rel=1e-9)


def test_other_variances_are_not_exact_in_few_steps() -> None:
    levels = trailing(cosine(), count=10)[:-1]
    for step in (partial(ddpm, variance="small"), partial(ddim, variance="hat")):
        _, variance = moments(known(cosine()), levels, step, 0.4, 0.25)
        assert abs(variance - 0.25 - float(levels[-1]) ** 2) > 0.01


def test_hat_is_the_large_variance_of_ddpm() -> None:
    levels, x = trailing(linear(), count=10), torch.randn(3, 1, dtype=torch.float64)
    noise = [torch.randn(3, 1, dtype=torch.float64) for _ in levels]
    for got, want in zip(
        states(known(linear()), x, levels, noise, partial(ddim, variance="hat")),
        states(known(linear()), x, levels, noise, partial(ddpm, variance="large")),
        strict=True,
    ):
        assert torch.allclose(got.x, want.x, rtol=1e-12, atol=1e-12)


def test_optimal_needs_a_covariance() -> None:
    denoise = by_sigma(DATA, linear())
    with pytest.raises(ValueError, match="ddpm fit"):
        moments(denoise, trailing(linear(), count=3), partial(ddpm, variance="optimal"), 0, 1)


def test_clip_limits_the_noise_of_the_last_moves_only() -> None:
    levels, x = trailing(linear(), count=6), torch.zeros(1, 1).double()

    def noise(**clip: Any) -> list[float]:
        """What a draw of 1 adds to the state, for each of the noisy moves."""
        step, added = partial(ddpm, variance="optimal", **clip), []
        for move in range(5):
            draws = [torch.full_like(x, float(number == move)) for number in range(6)]
            up = list(states(known(linear()), x, levels, draws, step))[move].x
            down = list(states(known(linear()), x, levels, [x] * 6, step))[move].x
            added.append(float(up - down))
        return added

    free, one, two = noise(), noise(clip_pixels=1.0), noise(clip_pixels=1.0, clip_moves=2)
    assert one[:4] == free[:4]
    assert two[:3] == free[:3]
    assert two[3] < free[3]
    limit = 2 / 255 * math.sqrt(math.pi / 2)  # a mean absolute size of one grey level
    assert one[4] * float(linear().alpha(levels[-2])) == pytest.approx(limit)


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
    denoiser = by_sigma(DATA, linear())
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
    denoiser, x = by_sigma(DATA, linear()), torch.zeros(2, 1).double()
    for gamma, want in ((0.4, 0.6), (1.5, 0.0), (-3.0, 1.0)):
        made = Analytic(denoiser, Moments(sigma, torch.tensor([gamma]).double())).bind()
        assert torch.allclose(made(x, sigma[0]).covariance, torch.tensor(want).double())
    shares = torch.tensor([[0.5], [9.0]])
    made = Analytic(denoiser, Moments(sigma, torch.tensor([0.4]).double()), lambda: shares).bind()
    assert made(x, sigma[0]).covariance.flatten().tolist() == pytest.approx([0.3, 1.0])
    assert made.schedule is denoiser.schedule


def test_exact_variance_is_the_slope_of_the_exact_denoiser() -> None:
    """Var[x0 given x] = t^2 dE[x0 given x] / dx, the second-order Tweedie formula."""
    mixture = Mixture([0.4, 0.6], [[0.5, -0.3], [-0.6, 0.4]], [[0.02, 0.05], [0.04, 0.03]])
    x, t = Fresh().normal(torch.empty(5, 2)).requires_grad_(), 0.7
    for pixel in range(2):
        mean = mixture.x0(x, 1.0, t)[:, pixel].sum()
        (slope,) = torch.autograd.grad(mean, x)
        got = mixture.x0_variance(x, 1.0, t)[:, pixel]
        assert torch.allclose(got, t**2 * slope[:, pixel], rtol=1e-9)


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


def test_guided_last_move_takes_the_posterior_variance_one_move_earlier() -> None:
    """At s = 0 the large variance shifts a guided mean by posterior_variance[1]."""
    schedule, _ = process("linear")
    levels = trailing(schedule, count=4)
    x = torch.zeros(1, 1).double()
    plain = known(schedule)

    class Pushed:
        def __init__(self) -> None:
            self.schedule = schedule

        def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> Any:
            score = torch.ones_like(x) if sigma == levels[-2] else torch.zeros_like(x)
            return plain(x, sigma)._replace(score=score)

    step, noise = partial(ddpm, variance="large"), [x] * 4
    *_, moved = states(Pushed(), x, levels, noise, step)
    *_, rest = states(plain, x, levels, noise, step)
    t, above = levels[-2], levels[-3]
    alpha = schedule.alpha(t)
    want = alpha**2 * t**2 * (1 - t**2 / above**2) / alpha
    assert float(moved.x - rest.x) == pytest.approx(float(want), rel=1e-9)
