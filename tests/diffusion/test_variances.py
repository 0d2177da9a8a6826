"""The reverse variances where everything is known: normal data and mixtures."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from exact import (
    TWO_PIXELS,
    Fresh,
    by_sigma,
    certain,
    gaussian,
    moments,
    process,
    states,
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


def test_exact_variance_is_the_slope_of_the_exact_denoiser() -> None:
    """Var[x0 given x] = t^2 dE[x0 given x] / dx, the second-order Tweedie formula."""
    x, t = Fresh().normal(torch.empty(5, 2)).requires_grad_(), 0.7
    for pixel in range(2):
        mean = TWO_PIXELS.x0(x, 1.0, t)[:, pixel].sum()
        (slope,) = torch.autograd.grad(mean, x)
        got = TWO_PIXELS.x0_variance(x, 1.0, t)[:, pixel]
        assert torch.allclose(got, t**2 * slope[:, pixel], rtol=1e-9)


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
