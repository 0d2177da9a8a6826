"""Training objectives against closed forms, and what all of them have in common."""

import math
from functools import partial

import pytest
import torch
from exact import Fresh, Recorded, by_sigma, gaussian, schedules
from golden.analytic_model import Mixture
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.losses import dsm, exact, hybrid, simple, sliced, vdm, vlb
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.monotone import learned
from ddpm_cli.diffusion.schedules.processes import ve
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.variational import (
    Reverse,
    discretized_normal,
    normal_kl,
    prior_bits,
    reconstruction_bits,
    step_bits,
)
from ddpm_cli.settings import catalog

TWO_POINTS = Mixture([0.5, 0.5], [[-0.5], [0.5]], [[0.0], [0.0]])
CORRELATED = Mixture([0.3, 0.7], [[-0.5, 0.2], [0.4, 0.6]], [[0.1, 0.3], [0.2, 0.05]])


class Small(nn.Module):
    """A smooth network of two channels and its variance channels."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        draw = partial(torch.randn, generator=generator)
        self.matrix = nn.Parameter(draw(4, 2).to(dtype))
        self.shift = nn.Parameter(draw(4).to(dtype))
        self.classes: Tensor | None = None

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        self.classes = classes
        rise = torch.tanh(label.to(x.dtype) / 10).reshape(-1, 1)
        return torch.tanh(x @ self.matrix.T + self.shift * rise)


def denoiser(schedule: Schedule, dtype: torch.dtype = torch.float64) -> Denoiser:
    return Denoiser(
        Small(dtype),
        schedule,
        parameterizations.eps,
        lambda sigma, schedule: 2 * torch.log(sigma),
        learned_range=True,
    )


# The loss of classifiers has no denoiser; see test_classifier.py.
@pytest.mark.parametrize("name", sorted({*catalog.names("loss")} - {"cross-entropy"}))
@pytest.mark.parametrize("process", ["linear", "cosine", "geometric", "vp", "ve", "learned"])
def test_every_loss_trains_on_every_process(name: str, process: str) -> None:
    """In float32, at both ends of time, each image by itself, with its class passed on."""
    loss, schedule = catalog.load(catalog.find("loss", name)), schedules()[process]
    denoise = denoiser(schedule, torch.float32)
    steps = schedule.steps or 1000
    t = torch.tensor([1 / steps, 2 / steps, 0.5, 1.0], dtype=torch.float64)
    x0 = torch.tensor([[-1, 1], [0.5, 0.0], [1, 1], [-0.2, 0.7]]).mul(255).round().div(255)
    classes = torch.arange(4)
    if name in ("vlb", "hybrid") and schedule.steps is None:
        with pytest.raises(ValueError, match="set its steps"):
            loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
        return
    losses = loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
    assert losses.shape == (4,)
    assert losses.dtype == torch.float32
    assert torch.equal(denoise.network.classes, classes)
    assert bool(torch.isfinite(losses).all())
    losses.sum().backward()
    for parameter in denoise.parameters():
        assert parameter.grad is None or bool(torch.isfinite(parameter.grad).all())
    assert float(denoise.network.matrix.grad[:2].abs().sum()) > 0
    alone = loss(denoise, x0[2:3], t[2:3], Rng([2]), classes=classes[2:3])
    assert torch.allclose(alone, losses[2:3], rtol=1e-4)
    with torch.no_grad():
        quiet = loss(denoise, x0, t, Rng([0, 1, 2, 3]), classes=classes)
    assert torch.allclose(quiet, losses)
    assert not quiet.requires_grad


class TestBound:
    @pytest.mark.parametrize(("variance", "nats"), [("small", 0.70109), ("large", 1.02895)])
    def test_best_network_on_two_points(self, variance: str, nats: float) -> None:
        """The sum over t >= 2 of the divergences, by quadrature over the noise."""
        schedule, count = linear(), 1000
        levels = schedule.sigma(torch.arange(1, count + 1, dtype=torch.float64) / count)
        noise = torch.linspace(-9, 9, 181, dtype=torch.float64)
        density = torch.exp(-(noise**2) / 2)
        t, s = (level.repeat_interleave(len(noise)) for level in (levels[1:], levels[:-1]))
        x0 = torch.full((len(t), 1), 0.5, dtype=torch.float64)
        x = x0 + (t * noise.repeat(count - 1))[:, None]
        prediction = by_sigma(TWO_POINTS, schedule)(x, t)
        step = Reverse.between(schedule, t, s, levels[:2])
        terms = step_bits(x0, prediction, step, variance).reshape(count - 1, -1)
        total = (terms * density).sum() / density.sum() * math.log(2)
        assert float(total) == pytest.approx(nats, abs=2e-5)

    def test_loss_is_the_term_of_its_time(self) -> None:
        """T times the term of each t = 1/T .. 1, the last of which is the decoder's."""
        schedule, count = cosine(steps=4), 4
        x0 = torch.tensor([[0.2, -1.0]], dtype=torch.float64).expand(4, 2)
        noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).double()
        times = torch.arange(1, 5, dtype=torch.float64) / 4
        denoise = denoiser(schedule)
        got = vlb(denoise, x0, times, Recorded([noise]), variance="learned")
        sigma = schedule.sigma(times)
        below = torch.cat([torch.zeros(1).double(), sigma[:-1]])
        step = Reverse.between(schedule, sigma, below, sigma[:2])
        prediction = denoise(x0 + sigma[:, None] * noise, sigma)
        assert torch.allclose(got, count * step_bits(x0, prediction, step, "learned"))

    def test_hybrid_trains_the_mean_as_simple_does(self) -> None:
        gradients = []
        for loss in (simple, hybrid):
            denoise = denoiser(linear())
            t = torch.tensor([0.001, 0.002, 0.7], dtype=torch.float64)
            loss(denoise, torch.full((3, 2), 0.2).double(), t, Rng([1, 2, 3])).sum().backward()
            gradients.append(denoise.network.matrix.grad)
        mean, variance = zip(*(gradient.split(2) for gradient in gradients), strict=True)
        assert torch.equal(mean[0], mean[1])
        assert torch.equal(variance[0], torch.zeros(2, 2).double())
        assert bool((variance[1] != 0).all())

    def test_learned_variance_needs_its_channel(self) -> None:
        denoise = by_sigma(gaussian(0.0, 1.0), linear())
        with pytest.raises(ValueError, match="learned_variance"):
            vlb(denoise, torch.zeros(1, 1).double(), torch.ones(1), Fresh(), variance="learned")

    def test_divergence_without_cancellation(self) -> None:
        """ratio^2 / 4 for a small ratio, in float32 too."""
        ratio = torch.tensor([1e-3, 1e-2])
        got = normal_kl(torch.zeros(2), ratio).double()
        assert torch.allclose(got, ratio.double() ** 2 / 4, rtol=5e-3)


class TestDecoder:
    @pytest.mark.parametrize("bits", [1, 3, 8])
    def test_probabilities_add_up_to_one(self, bits: int) -> None:
        x = torch.linspace(-1, 1, 2**bits, dtype=torch.float64)
        for mean, deviation in ((0.3, 0.01), (-1.4, 0.3), (0.999, 0.1), (0.0, 5.0)):
            log = discretized_normal(
                x, torch.tensor(mean).double(), torch.tensor(2 * math.log(deviation)), bits
            )
            assert float(log.exp().sum()) == pytest.approx(1, abs=1e-12)

    @pytest.mark.parametrize("x", [-1.0, 0.2, 1.0])
    def test_far_mean_is_still_pulled_back(self, x: float) -> None:
        """A bin fifty deviations away has a finite cost and a slope in float32."""
        x = round((x + 1) * 127.5) / 127.5 - 1
        mean = torch.tensor(x - 0.5 if x > 0 else x + 0.5, requires_grad=True)
        log = discretized_normal(torch.tensor(x), mean, torch.tensor(2 * math.log(0.01)), 8)
        assert float(log.detach()) == pytest.approx(-(0.496**2) / 2e-4, rel=0.02)
        log.backward()
        assert float(mean.grad) == pytest.approx(
            math.copysign(4961, x - float(mean.detach())), rel=0.02
        )

    def test_reconstruction_is_certain_without_noise(self) -> None:
        x0 = torch.linspace(-1, 1, 256).double()[None]
        sigma = torch.tensor(1e-4, dtype=torch.float64)
        assert float(reconstruction_bits(x0, x0 + 1e-4, sigma)) < 1e-12
        assert float(reconstruction_bits(x0, x0, 1e4 * sigma.sqrt())) == pytest.approx(8, abs=1e-3)


class TestVariationalDiffusion:
    START, END = -13.3, 5.0

    def diffusion(self, schedule: Schedule, count: int) -> float:
        """The diffusion part in nats for N(0, 1) data and its exact network."""
        generator = torch.Generator().manual_seed(0)
        x0 = torch.randn(count, 1, generator=generator, dtype=torch.float64)
        t = (torch.arange(count, dtype=torch.float64) + 0.5) / count
        if schedule.steps:
            t = (t * schedule.steps).ceil() / schedule.steps
        t = t[torch.randperm(count, generator=generator)]
        noise = torch.randn(2, count, 1, generator=generator, dtype=torch.float64)
        denoise = by_sigma(gaussian(0.0, 1.0), schedule)
        bits = vdm(denoise, x0, t, Recorded(noise))
        first = schedule.sigma(torch.zeros(()).double())
        rest = prior_bits(schedule, x0)
        rest = rest + reconstruction_bits(x0, x0 + first * noise[1], first)
        return float((bits - rest).detach().mean()) * math.log(2)

    @pytest.mark.parametrize("schedule", [learned(width=8), ve()])
    def test_continuous_bound_depends_on_its_ends_alone(self, schedule: Schedule) -> None:
        """The integral of gamma' / (1 + exp gamma) / 2, by its antiderivative."""
        ends = schedule.sigma(torch.tensor([0.0, 1.0]).double()).detach()
        want = torch.log1p(ends**-2)
        got = self.diffusion(schedule, 20_000)
        assert got == pytest.approx(float(want[0] - want[1]) / 2, rel=0.04)

    def test_more_steps_are_a_tighter_bound(self) -> None:
        totals = [self.diffusion(learned(width=8, steps=steps), 20_000) for steps in (10, 100)]
        assert totals[0] > 1.5 * totals[1] > 1.5 * 0.98 * (-self.START / 2 - 0.01)

    def test_ends_learn_the_bound_and_the_shape_its_variance(self) -> None:
        """Against gradients of the mean and of the mean square, taken one by one."""
        schedule = learned(width=6).double()
        denoise = denoiser(schedule)
        t = torch.tensor([0.1, 0.35, 0.6, 0.99], dtype=torch.float64)
        noise = torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(3)).double()
        x0 = torch.tensor([[-1.0, 0.2], [0.6, 1], [0, 0], [0.2, -0.6]]).double()
        shape = [schedule.slope, schedule.inner, schedule.offset, schedule.outer]
        ends = [schedule.start, schedule.end]
        got = torch.autograd.grad(
            vdm(denoise, x0, t, Recorded(noise)).mean(), [*ends, *shape, denoise.network.matrix]
        )

        sigma = torch.exp(schedule.gamma(t) / 2)
        error = (denoise(x0 + sigma[:, None] * noise[0], sigma).x0 - x0) / sigma[:, None]
        losses = rate(schedule, t) * error.square().mean(1) / (2 * math.log(2))
        first = schedule.sigma(torch.zeros(()).double())
        rest = reconstruction_bits(x0, x0 + first * noise[1], first) + prior_bits(schedule, x0)
        keep = partial(torch.autograd.grad, retain_graph=True)
        total = (losses + rest).mean()
        want = [*keep(total, ends), *keep(losses.square().mean(), shape)]
        want += keep(total, denoise.network.matrix)
        for mine, right in zip(got, want, strict=True):
            assert torch.allclose(mine, right, rtol=1e-8, atol=1e-12)
        assert not torch.allclose(got[2], keep(total, shape)[0], rtol=0.1)

    def test_shape_learns_the_bound_in_discrete_time(self) -> None:
        schedule = learned(width=6, steps=5)
        denoise = denoiser(schedule)
        t = torch.tensor([0.2, 0.4, 1.0], dtype=torch.float64)
        x0, noise = torch.full((3, 2), 0.6).double(), torch.ones(2, 3, 2).double()

        def total() -> Tensor:
            return vdm(denoise, x0, t, Recorded(noise)).mean()

        (slope,) = torch.autograd.grad(total(), schedule.slope)
        values, h = [], 1e-3
        for sign in (1, -1):
            with torch.no_grad():
                schedule.slope += sign * h
                values.append(float(total()))
                schedule.slope -= sign * h
        assert float(slope) == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-3)


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
        denoise = denoiser(ve())
        x0, t = torch.zeros(1, 2).double(), torch.full((1,), 0.6).double()
        noise = [torch.ones(1, 2), *torch.randn(1000, 1, 2, generator=torch.Generator())]
        want = exact(denoise, x0, t, Recorded(noise[:1]))
        got = sliced(denoise, x0, t, Recorded(noise), projections=1000)
        assert float(got) == pytest.approx(float(want), abs=0.1)
        one = [float(sliced(denoise, x0, t, Recorded([noise[0], n]))) for n in noise[1:9]]
        assert len({round(value, 9) for value in one}) == 2, "equal or opposite signs"


class Line(nn.Module):
    """slope * x + offset."""

    def __init__(self, slope: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.slope, self.offset = slope, offset

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.slope * x + self.offset
