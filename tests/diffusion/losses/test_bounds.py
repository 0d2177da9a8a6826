"""The bounds as losses: best values, terms, and what learns from which part."""

import math
from functools import partial

import pytest
import torch
from exact import TWO_POINTS, Fresh, Recorded, by_sigma, gaussian
from probes import smooth_denoiser
from torch import Tensor

from ddpm_cli.diffusion.losses.bounds import hybrid, vdm, vlb
from ddpm_cli.diffusion.losses.denoising import simple
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules.monotone import learned
from ddpm_cli.diffusion.schedules.processes import ve
from ddpm_cli.diffusion.schedules.schedule import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.variational import (
    Reverse,
    normal_kl,
    prior_bits,
    reconstruction_bits,
    step_bits,
)


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
        denoise = smooth_denoiser(schedule)
        got = vlb(denoise, x0, times, Recorded([noise]), variance="learned")
        sigma = schedule.sigma(times)
        below = torch.cat([torch.zeros(1).double(), sigma[:-1]])
        step = Reverse.between(schedule, sigma, below, sigma[:2])
        prediction = denoise(x0 + sigma[:, None] * noise, sigma)
        assert torch.allclose(got, count * step_bits(x0, prediction, step, "learned"))

    def test_hybrid_trains_the_mean_as_simple_does(self) -> None:
        gradients = []
        for loss in (simple, hybrid):
            denoise = smooth_denoiser(linear())
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
        denoise = smooth_denoiser(schedule)
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
        denoise = smooth_denoiser(schedule)
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
