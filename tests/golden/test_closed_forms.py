"""Closed-form answers that need neither training nor another project's code."""

import math
from functools import cache, partial
from itertools import pairwise

import pytest
import torch
from exact import TWO_POINTS, Fresh, Recorded, by_sigma, gaussian, moments
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.levels import explicit, leading, linspace, quadratic
from ddpm_cli.diffusion.losses import simple
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules.tables import Table, cosine, linear
from ddpm_cli.diffusion.steps import Move

T = 1000


def at(index: int, schedule: Table) -> Tensor:
    """The level of a 1-based step, as the papers count."""
    return schedule.sigma(torch.tensor(index / (schedule.steps or 0), dtype=torch.float64))


def signal(index: int, schedule: Table) -> float:
    """abar of a 1-based step."""
    return float(schedule.alpha(at(index, schedule)) ** 2)


def test_linear_schedule() -> None:
    assert signal(1, linear()) == pytest.approx(0.9999, rel=1e-12)
    assert signal(T, linear()) == pytest.approx(4.03583e-05, rel=2e-6)
    assert float(at(T, linear())) == pytest.approx(157.407, abs=1e-3)
    assert signal(4000, linear(steps=4000)) == pytest.approx(4.24665e-05, rel=2e-6)


def test_cosine_schedule() -> None:
    assert signal(T, cosine()) == pytest.approx(2.42877e-09, rel=2e-6)
    assert int((cosine().betas() > 0.9989).sum()) == 1, "one clipped beta"
    assert signal(4000, cosine(steps=4000)) == pytest.approx(1.51798e-10, rel=4e-6)
    assert float(at(T, cosine())) == pytest.approx(20291, abs=1)
    assert float(at(4000, cosine(steps=4000))) == pytest.approx(81165, abs=1)


@pytest.mark.parametrize(("made", "bits"), [(linear, 2.91e-05), (cosine, 1.75e-09)])
def test_prior_term_of_unit_power_data(made: type[Table], bits: float) -> None:
    """KL(q(x_T given x0) || N(0, 1)) = (abar x0^2 + (1 - abar) - 1 - log(1 - abar)) / 2."""
    schedule = made()
    sigma = at(T, schedule)
    mean, deviation = schedule.alpha(sigma), schedule.alpha(sigma) * sigma
    loss = -torch.log(deviation) + (deviation**2 + mean**2 - 1) / 2
    assert float(loss) / math.log(2) == pytest.approx(bits, rel=2e-3)


@pytest.mark.parametrize(
    ("levels", "variance"),
    [
        (leading(linear(), count=10), 0.6917),
        (leading(linear(), count=20), 0.8327),
        (leading(linear(), count=50), 0.9294),
        (leading(linear(), count=100), 0.9640),
        (leading(linear(), count=1000), 0.99625),
        (linspace(linear(), count=10), 0.6636),
    ],
)
def test_ddim_variance_on_normal_data(levels: Tensor, variance: float) -> None:
    """Each step turns by an angle: the variance is a product of cos^2(theta_t - theta_s)."""
    denoise = by_sigma(gaussian(0.0, 1.0), linear())
    _, got = moments(denoise, levels, ddim, 0.0, 1.0)
    angles = torch.atan(levels)
    assert got == pytest.approx(float(torch.cos(-angles.diff()).square().prod()), rel=1e-9)
    assert got == pytest.approx(variance, abs=6e-5)


@pytest.mark.parametrize(("variance", "want"), [("large", 0.9999), ("small", 0.99107)])
def test_ancestral_variance_on_normal_data(variance: str, want: float) -> None:
    denoise = by_sigma(gaussian(0.0, 1.0), linear())
    levels = leading(linear(), count=T)
    _, got = moments(denoise, levels, partial(ddpm, variance=variance), 0.0, 1.0)
    assert got == pytest.approx(want, abs=6e-6)


def test_ddim_at_eta_1_is_ddpm_with_the_small_variance() -> None:
    denoise, levels = by_sigma(gaussian(0.3, 0.5), linear()), leading(linear(), count=25)
    got = moments(denoise, levels, partial(ddim, eta=1.0), 0.3, 0.5)
    assert got == pytest.approx(moments(denoise, levels, ddpm, 0.3, 0.5), rel=1e-12)


def test_quadratic_indices() -> None:
    want = [0, 9, 39, 88, 158, 246, 355, 483, 632, 800]
    got = quadratic(linear(), count=10)
    assert torch.equal(got, explicit(linear(), timesteps=want))


@cache
def two_points() -> Denoiser:
    return by_sigma(TWO_POINTS, linear())


@pytest.mark.parametrize("index", [1, 120, 500, T])
def test_clean_image_between_two_points(index: int) -> None:
    """E[x0 given x_t] = tanh(sqrt(abar) x_t / (2 (1 - abar))) / 2."""
    native = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    abar, sigma = signal(index, linear()), at(index, linear())
    want = torch.tanh(math.sqrt(abar) * native / (2 * (1 - abar))) / 2
    got = two_points()(native / math.sqrt(abar), sigma).x0
    assert torch.allclose(got, want, rtol=0, atol=1e-12)


def error(t: Tensor) -> Tensor:
    """L_simple of the exact network at each time, by the loss itself on many images."""
    x0 = torch.tensor([-0.5, 0.5], dtype=torch.float64).repeat(len(t) // 2)[:, None]
    return simple(two_points(), x0, t, Fresh())


def test_simple_loss_of_the_best_network() -> None:
    """0.092868: what a trained network must approach and can never beat."""
    times = torch.arange(1, T + 1, dtype=torch.float64) / T
    losses = error(times.repeat_interleave(200)).reshape(T, 200)
    deviation = float(losses.var(1).mean().sqrt()) / math.sqrt(losses.numel())
    assert deviation < 1e-3
    assert float(losses.mean()) == pytest.approx(0.092868, abs=4 * deviation)


def test_worst_time_of_the_best_network() -> None:
    losses = error(torch.full((100_000,), 0.12, dtype=torch.float64))
    deviation = float(losses.std()) / math.sqrt(len(losses))
    assert float(losses.mean()) == pytest.approx(0.4795, abs=4 * deviation + 5e-5)


def squared_error(sigma: Tensor) -> Tensor:
    """E[(x0 - E[x0 given x])^2] at each level [n] by quadrature over the noise."""
    noise = torch.linspace(-9, 9, 301, dtype=torch.float64)
    density = torch.exp(-(noise**2) / 2)
    x = 0.5 + sigma[:, None] * noise
    clean = two_points()(x.reshape(-1, 1), sigma.repeat_interleave(len(noise))).x0
    return ((clean.reshape(x.shape) - 0.5) ** 2 * density).sum(1) / density.sum()


@pytest.mark.parametrize(("variance", "nats"), [("small", 0.70109), ("large", 1.02895)])
def test_variational_bound_of_the_best_network(variance: str, nats: float) -> None:
    """The sum over t >= 2 of KL(q(x_s given x_t, x0) || p(x_s given x_t)), from ddpm's own step.

    The step's answer to x0 is the weight of x0 in the mean, its answer to noise the deviation.
    """
    levels = leading(linear(), count=T)[:-1]
    one = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    denoise = Wrapped(two_points(), lambda x, sigma: Prediction(x0=one))
    weight, deviation = torch.stack(
        [
            ddpm(
                denoise,
                torch.zeros_like(one),
                Move(t, s, number, levels),
                Recorded([1 - one]),
                [],
                variance=variance,
            )
            for number, (t, s) in enumerate(pairwise(levels))
        ],
        dim=1,
    )[..., 0]
    t, s = levels[:-1], levels[1:]
    true = s**2 * (1 - s**2 / t**2)
    model, gap = deviation**2, weight**2 * squared_error(t)
    divergence = (model / true).log() + (true + gap) / model - 1
    assert float(divergence.sum() / 2) == pytest.approx(nats, abs=2e-5)
