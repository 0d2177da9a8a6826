"""From bytes to states: bounds against closed forms, in float64."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import pytest
import torch
from exact import by_sigma
from golden.analytic_model import Mixture
from torch import Tensor
from torch.distributions import Normal

from ddpm_cli.diffusion import dequantization
from ddpm_cli.diffusion.levels import logsnr
from ddpm_cli.diffusion.likelihood import climb, log_density
from ddpm_cli.diffusion.samplers import dpm_solver_single
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.variational import discretized_normal, last_step

BITS = 8
HALF = 1 / 255
KINDS = ("uniform", "truncated")
SMOOTH = Mixture([0.3, 0.7], [[-0.5], [0.4]], [[0.06], [0.03]])


def walked(schedule: Schedule) -> Tensor:
    return logsnr(schedule, count=60, low=1e-9)


def weights(kind: str, mixture: Mixture, schedule: Schedule, x0: Tensor, u: Tensor) -> Tensor:
    """log w of images x0 [B, ...] and uniform numbers u of their shape, in nats [B]."""
    denoise, levels = by_sigma(mixture, schedule).bind(), walked(schedule)
    worth: Tensor | float = 0.0
    if kind == "uniform":
        begin = dequantization.uniform(schedule, x0, u, levels, BITS)
    else:
        begin, worth = dequantization.truncated(denoise, x0, u, levels, BITS)
    *_, reached = climb(denoise, begin, levels, partial(dpm_solver_single, order=3), None)
    size = x0[0].numel()
    return log_density(schedule, reached) + worth + size * math.log(dequantization.width(BITS))


def even(count: int) -> Tensor:
    """Uniform numbers, evenly spread: [count, 1]."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count)[:, None]


def byte(number: int) -> Tensor:
    return torch.tensor([[number / 127.5 - 1]], dtype=torch.float64)


def lowest(schedule: Schedule) -> tuple[float, float]:
    """sigma and alpha of the lowest level."""
    sigma = walked(schedule)[-2]
    return float(sigma), float(schedule.alpha(sigma))


def closed(kind: str, schedule: Schedule, x0: Tensor) -> float:
    """P(x0) of SMOOTH, as an integral over a fine grid of states at the lowest level."""
    sigma, alpha = lowest(schedule)
    reach = HALF / alpha if kind == "uniform" else sigma * max(HALF / sigma, 3)
    center = x0 / alpha if kind == "uniform" else x0
    y = center + reach * (2 * even(10001) - 1)
    density = SMOOTH.log_prob(y, 1.0, sigma).exp()
    if kind == "truncated":
        levels = walked(schedule)
        mean = by_sigma(SMOOTH, schedule).bind()(y, levels[-2]).x0
        spread = last_step(schedule, levels, 1).small
        density = density * discretized_normal(x0, mean, spread, BITS).exp()[:, 0]
    return float(density.mean() * 2 * reach)


@pytest.mark.parametrize("make", [edm, cosine])
@pytest.mark.parametrize("kind", KINDS)
def test_many_samples_are_the_integral(kind: str, make: type) -> None:
    schedule = make()
    for number in (40, 128, 200):
        x0 = byte(number)
        every = weights(kind, SMOOTH, schedule, x0.expand(400, 1), even(400))
        found = float(dequantization.log_mean([w[None] for w in every]))
        assert found == pytest.approx(math.log(closed(kind, schedule, x0)), abs=5e-3)
        assert float(every.mean()) < found, "one sample is the mean of the logs"


@pytest.mark.parametrize("kind", KINDS)
def test_bound_rises_with_the_samples(kind: str) -> None:
    u = torch.rand(240, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    every = weights(kind, SMOOTH, cosine(), byte(90).expand(240, 1), u)
    found = [
        float(dequantization.log_mean([*every.reshape(count, -1)]).mean())
        for count in (1, 2, 8, 240)
    ]
    assert found == sorted(found)
    assert found[-1] > found[0] + 1e-6


class TestCrossed:
    """The bound of weights of which there are two estimates each."""

    KNOWN = torch.randn(8, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def test_of_what_is_known_it_is_the_log_of_the_mean(self) -> None:
        twice = [torch.stack([log, log]) for log in self.KNOWN]
        whole = dequantization.log_mean(list(self.KNOWN))
        assert torch.allclose(dequantization.crossed(twice), whole, rtol=0, atol=1e-12)

    def test_of_one_weight_it_is_the_mean_of_the_estimates(self) -> None:
        log = torch.tensor([[3.0, -1.0], [5.0, -2.0]], dtype=torch.float64)
        assert dequantization.crossed([log]).tolist() == [4.0, -1.5]

    @pytest.mark.parametrize("error", [0.3, 3.0, 60.0])
    def test_errors_of_estimates_do_not_make_it_more_than_it_is(self, error: float) -> None:
        count, truth = 20_000, float(dequantization.log_mean(list(self.KNOWN)))
        rng = torch.Generator().manual_seed(1)
        noise = torch.randn(8, 2, count, generator=rng, dtype=torch.float64)
        found = dequantization.crossed(list(self.KNOWN[..., None] + error * noise))
        spread = float(found.std()) / count**0.5
        assert float(found.mean()) < truth + 3 * spread
        # Shares that are all on one weight, whichever it is, cost the log of how many there are.
        assert float(found.mean()) > float(self.KNOWN.mean()) - math.log(8) - 3 * spread
        naive = dequantization.log_mean(list(self.KNOWN + error * noise[:, 0]))
        if error >= 3:
            assert float(naive.mean()) > truth + 1


def coins(share: float, size: int) -> tuple[Mixture, Tensor, Tensor]:
    """Images of `size` pixels, each white with a chance of `share`, and the chance of each."""
    every = torch.tensor([*product((-1.0, 1.0), repeat=size)], dtype=torch.float64)
    white = (every > 0).sum(1)
    chance = share**white * (1 - share) ** (size - white)
    points = Mixture(chance.tolist(), every.tolist(), [[0.0] * size] * len(every))
    return points, every, chance


def entropy(shares: Sequence[float]) -> float:
    return -sum(share * math.log2(share) for share in shares if share)


@pytest.mark.parametrize("low", [0.002, 0.0008])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.0])
def test_pixels_of_known_entropy(share: float, low: float) -> None:
    """Truncated noise finds it at once; uniform noise pays for bins that do not fit the levels.

    That is E log q / p = log(2.5066 sigma / w) + w^2 / 24 sigma^2 with one sample, and the
    probability of what is beyond the bin with many. share 0: pixels that never change.
    """
    size, schedule = 2, edm(low=low)
    points, images, chance = coins(share, size)
    generator = torch.Generator().manual_seed(1)
    one, many = dict.fromkeys(KINDS, 0.0), dict.fromkeys(KINDS, 0.0)
    for kind, (image, p) in product(KINDS, zip(images, chance.tolist(), strict=True)):
        if p:
            mixed = [torch.randperm(1000, generator=generator) for _ in range(size)]
            u = torch.cat([even(1000)[order] for order in mixed], dim=1)
            every = weights(kind, points, schedule, image.expand(1000, size), u)
            one[kind] -= p * float(every.mean()) / (size * math.log(2))
            whole = dequantization.log_mean([w[None] for w in every])
            many[kind] -= p * float(whole) / (size * math.log(2))
    known, sigma = entropy([share, 1 - share]), lowest(schedule)[0]
    spread = float((last_step(schedule, walked(schedule), 1).small / 2).exp())
    decoder = -math.log2(Normal(0, 1).cdf(torch.tensor(HALF / spread)))
    cut = math.erf(max(3, HALF / sigma) / math.sqrt(2))
    price = decoder - math.log2(cut)
    assert price < (0.03 if low == 0.002 else 1e-5)
    assert one["truncated"] == pytest.approx(known + price, abs=0.003)
    assert many["truncated"] == pytest.approx(known + price, abs=0.003)
    far = 0.02 if low == 0.002 else 0.2  # the solver's error five deviations from any image
    price = math.log(math.sqrt(2 * math.pi) * sigma / (2 * HALF)) + HALF**2 / (6 * sigma**2)
    assert one["uniform"] == pytest.approx(known + price / math.log(2), abs=far)
    beyond = -math.log2(math.erf(HALF / (sigma * math.sqrt(2))))
    assert many["uniform"] == pytest.approx(known + beyond, abs=far / 2)


def test_pixels_that_never_change_cost_a_bit_with_uniform_noise_alone() -> None:
    """The lowest level of Nichol's cosine is 0.0064, wider than half a byte."""
    schedule, point = cosine(), Mixture([1.0], [[-1.0]], [[0.0]])
    x0, u, bits = byte(0).expand(200, 1), even(200), {}
    for kind in KINDS:
        bits[kind] = -float(weights(kind, point, schedule, x0, u).mean()) / math.log(2)
    assert bits["uniform"] > 1
    assert bits["truncated"] < 0.35


@pytest.mark.parametrize("reach", [0.5, 3.0, 9.0])
def test_normals_within(reach: float) -> None:
    z, log_q = dequantization.normal_within(even(100_001)[:, 0], reach)
    mass = math.erf(reach / math.sqrt(2))
    assert bool((z.diff() > 0).all())
    assert float(z.abs().max()) <= reach
    density = math.exp(-(reach**2) / 2) / math.sqrt(2 * math.pi)
    assert float(z.square().mean()) == pytest.approx(1 - 2 * reach * density / mass, abs=1e-3)
    area = (log_q.exp()[1:] + log_q.exp()[:-1]) / 2 * z.diff()
    assert float(area.sum()) == pytest.approx(1, abs=1e-3)
    ends = dequantization.normal_within(torch.tensor([0.0, 1.0]).double(), reach)[0]
    assert ends.tolist() == pytest.approx([-reach, reach])
