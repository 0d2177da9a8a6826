"""Likelihood by the ODE and by the bound, against closed forms, in float64."""

import math
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch
from exact import Fresh, Recorded, by_sigma, gaussian, schedules
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.latents import encode
from ddpm_cli.diffusion.levels import explicit, linspace, logsnr
from ddpm_cli.diffusion.likelihood import (
    antithetic,
    at_lowest,
    climb,
    integral,
    jacobian_trace,
    leap,
    log_density,
    rademacher,
    walsh,
)
from ddpm_cli.diffusion.likelihood import gaussian as normal_probes
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import dpm_solver_single, heun
from ddpm_cli.diffusion.samplers.adaptive import ode
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.variational import prior_bits, terms

THIRD = partial(dpm_solver_single, order=3)
ADAPTIVE = partial(ode, rtol=1e-5, atol=1e-5)
Make = Callable[[Tensor, int, Rng], Tensor]
GOLDEN = Path(__file__).parents[1] / "golden" / "mixtures.json"
DATA = {"gaussian": gaussian(0.3, 0.25), "mixture": Mixture.load(GOLDEN, "g2")}


def log_p(mixture: Mixture, x: Tensor, sigma: Tensor) -> Tensor:
    """The exact log density of x = x0 + sigma eps."""
    variance = mixture.variances + sigma**2
    residual = x.flatten(1)[:, None] - mixture.means
    each = -(residual**2 / variance + (2 * math.pi * variance).log()).sum(-1) / 2
    return (each + mixture.weights.log()).logsumexp(1)


def data(mixture: Mixture, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    rows = torch.multinomial(mixture.weights, count, replacement=True, generator=generator)
    noise = torch.randn(count, mixture.means.shape[1], generator=generator, dtype=torch.float64)
    x = mixture.means[rows] + mixture.variances[rows].sqrt() * noise
    return x.reshape(count, *mixture.shape)


def off(
    mixture: Mixture, schedule: Schedule, target: str, levels: Tensor, step: Step = THIRD
) -> float:
    """By how many bits a dimension the ODE misses the exact density, at worst.

    Where the prior is not quite the noised data, the flow gives log p(x_lo) less what the two
    differ by at its end.
    """
    x0, denoise = data(mixture, 8), by_sigma(mixture, schedule, target).bind()
    *_, reached = climb(denoise, at_lowest(schedule, x0, levels), levels, step, None)
    lo, hi = reached.levels[[0, -1]]
    size, alpha = x0[0].numel(), schedule.alpha(lo)
    want = log_p(mixture, x0 / alpha, lo) - size * alpha.log() - log_p(mixture, reached.x, hi)
    z = reached.x.flatten(1) / schedule.prior(hi)
    want -= (z**2 / 2).sum(1)
    want -= size * (schedule.prior(hi).log() + math.log(2 * math.pi) / 2)
    return float((log_density(schedule, reached) - want).abs().max() / (math.log(2) * size))


@pytest.mark.parametrize("kind", DATA)
def test_ode_is_exact_for_every_process(kind: str, subtests: pytest.Subtests) -> None:
    for name, schedule in schedules().items():
        with subtests.test(schedule=name):
            with torch.no_grad():
                levels = logsnr(schedule, count=40)
            assert off(DATA[kind], schedule, "eps", levels) < 0.01


@pytest.mark.parametrize("target", ["eps", "x0", "v", "score", "edm"])
def test_ode_is_exact_for_every_parameterization(target: str) -> None:
    schedule = cosine()
    assert off(DATA["mixture"], schedule, target, logsnr(schedule, count=40)) < 0.01


def test_ode_on_trained_levels_of_mu() -> None:
    """What mu means between the trained levels nobody has learned: Heun's method asks at none."""
    schedule = linear()
    wanted = (schedule.time(logsnr(schedule, count=120)[:-1]) * 1000).round().int() - 1
    levels = explicit(schedule, timesteps=sorted({*wanted.tolist()}))
    assert off(DATA["gaussian"], schedule, "mu", levels, heun) < 0.01


def test_order_of_convergence() -> None:
    """Of the state and the trace together: second for heun, more for the third order."""
    mixture, schedule = DATA["mixture"], cosine()
    x0, denoise = data(mixture, 8), by_sigma(mixture, schedule).bind()

    def nats(step: Step, count: int) -> Tensor:
        levels = logsnr(schedule, count=count)
        *_, reached = climb(denoise, at_lowest(schedule, x0, levels), levels, step, None)
        return log_density(schedule, reached)

    truth = nats(THIRD, 201)
    wrong = {
        (step, count): float((nats(step, count) - truth).abs().max())
        for step in (heun, THIRD)
        for count in (26, 51)
    }
    assert 3.4 < wrong[heun, 26] / wrong[heun, 51] < 4.6
    assert wrong[THIRD, 26] / wrong[THIRD, 51] > 7
    assert wrong[THIRD, 26] < wrong[heun, 51]


@pytest.mark.parametrize("make", [rademacher, normal_probes])
def test_probes_estimate_the_trace_without_bias(make: Make) -> None:
    mixture, schedule = Mixture.load(GOLDEN, "img"), cosine()
    denoise, levels = by_sigma(mixture, schedule).bind(), logsnr(schedule, count=20)
    x0 = data(mixture, 1).expand(400, -1, -1, -1)
    x = at_lowest(schedule, x0, levels)
    *_, exact = climb(denoise, x[:1], levels, THIRD, None)
    probes = make(x0, 1, Rng(range(400)))
    *_, reached = climb(denoise, x, levels, THIRD, probes)
    found = log_density(schedule, reached) - log_density(schedule, exact)
    error = float(found.std()) / 20
    assert error > 1e-4
    assert abs(float(found.mean())) < 3 * error
    more = make(x0[:100], 16, Rng(range(100)))
    *_, steady = climb(denoise, x[:100], levels, THIRD, more)
    assert 0.15 < float(steady.volume.std() / reached.volume.std()) < 0.4


def test_groups_of_probes_are_an_estimate_each() -> None:
    mixture, schedule = Mixture.load(GOLDEN, "img"), cosine()
    denoise, levels = by_sigma(mixture, schedule).bind(), logsnr(schedule, count=12)
    x = at_lowest(schedule, data(mixture, 3), levels)
    groups = torch.stack([rademacher(x, 2, Rng(range(3))), normal_probes(x, 2, Rng(range(3)))])
    *_, both = climb(denoise, x, levels, THIRD, groups)
    for number, probes in enumerate(groups):
        *_, one = climb(denoise, x, levels, THIRD, probes)
        assert torch.equal(both.volume[number], one.volume)
        assert torch.equal(log_density(schedule, both)[number], log_density(schedule, one))
    (whole,) = leap(denoise, x[:1], levels, ADAPTIVE, groups[:, :, :1])
    for number, probes in enumerate(groups):
        (one,) = leap(denoise, x[:1], levels, ADAPTIVE, probes[:, :1])
        assert torch.allclose(whole.volume[number], one.volume, rtol=1e-4)


def test_trace_of_a_matrix() -> None:
    matrix = torch.arange(9, dtype=torch.float64).reshape(3, 3)
    schedule = linear()
    inner = by_sigma(gaussian(0, 1), schedule).bind()
    denoise = Wrapped(inner, lambda x, sigma: Prediction(x @ matrix.T))
    x = torch.ones(2, 3, dtype=torch.float64)
    with torch.no_grad():
        x0, trace = jacobian_trace(denoise, x, torch.tensor(1.0), None)
        signs = torch.tensor([1.0, -1.0, 1.0]).double().expand(1, 2, 3)
        _, probed = jacobian_trace(denoise, x, torch.tensor(1.0), signs)
    assert not any(value.requires_grad for value in (x0, trace, x))
    assert trace.tolist() == [12.0, 12.0]
    assert probed.tolist() == [float(signs[0, 0] @ matrix @ signs[0, 0])] * 2


def test_integral_is_exact_for_parabolas_and_of_fourth_order() -> None:
    uneven = torch.tensor([0.0, 0.3, 1.1, 1.2, 2.0], dtype=torch.float64)
    assert float(integral(uneven, (uneven**2)[:, None])) == pytest.approx(8 / 3)
    wrong = []
    for count in (33, 65):
        nodes = torch.linspace(0, 3, count, dtype=torch.float64)
        wrong.append(abs(float(integral(nodes, nodes.sin()[:, None])) - 1 + math.cos(3)))
    assert wrong[0] / wrong[1] > 13
    two = torch.tensor([0.0, 2.0], dtype=torch.float64)
    assert integral(two, torch.tensor([[1.0], [2.0]]).double()).tolist() == [3.0]


def bound(variance: str, count: int) -> float:
    """Bits of all reverse steps but the last of two points +-1/2, integrated over the noise."""
    points, schedule = Mixture([0.5, 0.5], [[-0.5], [0.5]], [[1e-12], [1e-12]]), linear()
    z = torch.linspace(-8, 8, 401, dtype=torch.float64)
    weight = torch.exp(-(z**2) / 2) / torch.exp(-(z**2) / 2).sum()
    x0, levels = torch.full((401, 1), 0.5, dtype=torch.float64), linspace(schedule, count=count)
    noise, denoise = Recorded([z[:, None]] * count), by_sigma(points, schedule).bind()
    found = list(terms(denoise, x0, levels, noise, variance, "gaussian"))[:-1]
    return float(sum((weight * term.bits).sum() for term in found))


def test_bound_of_two_points() -> None:
    """Bayes-optimal steps spend a little more than the entropy, one bit; few steps more."""
    assert bound("small", 1000) == pytest.approx(1.01147, abs=1e-5)
    assert bound("large", 1000) * math.log(2) == pytest.approx(1.02895, abs=1e-5)
    assert bound("small", 100) > 1.05


def test_bound_of_normal_data_is_near_their_entropy() -> None:
    """The large variance is that of the exact reverse steps of N(0, 1); the decoder's is less.

    It is the posterior's s^2 (1 - s^2 / t^2) of the step before, where the exact one is s^2.
    """
    mixture, schedule = Mixture([1.0], [[0.0] * 16], [[1.0] * 16]), linear()
    x0 = data(mixture, 1000)
    levels, denoise = linspace(schedule, count=1000), by_sigma(mixture, schedule).bind()
    steps = sum(term.bits for term in terms(denoise, x0, levels, Fresh(), "large", "gaussian"))
    total = steps + prior_bits(schedule, x0, levels[0])
    apart = total + log_p(mixture, x0, torch.zeros(())) / (16 * math.log(2))
    error = float(apart.std()) / len(x0) ** 0.5
    ratio = float(1 / (1 - (levels[-2] / levels[-3]) ** 2))
    decoder = (ratio - 1 - math.log(ratio)) / (2 * math.log(2))
    assert error < 0.02
    assert float(apart.mean()) == pytest.approx(decoder, abs=3 * error)


def test_decoder_is_chosen() -> None:
    """Of very fine bins it is the density of numbers times their width; none adds nothing."""
    x0, schedule = data(gaussian(0, 0.1), 4).clamp(-0.9, 0.9), linear()
    denoise, levels = by_sigma(gaussian(0, 0.1), schedule).bind(), linspace(schedule, count=5)
    how = {"fine": ("discretized", 24), "density": ("gaussian",), "none": ("none",)}
    bits = {
        name: torch.stack([t.bits for t in terms(denoise, x0, levels, Fresh(), "small", *of)])
        for name, of in how.items()
    }
    for each in bits.values():
        assert torch.equal(each[:-1], bits["none"][:-1]), "the last term alone differs"
    assert torch.equal(bits["none"][-1], torch.zeros(4).double())
    width = math.log2((2**24 - 1) / 2)
    assert torch.allclose(bits["fine"][-1], bits["density"][-1] + width, atol=1e-3)


def test_images_on_the_way_to_noise_start_as_states() -> None:
    """`encode` and `climb` take the same states; images of the likelihood are scaled."""
    mixture, schedule = DATA["mixture"], linear()
    x0, denoise = data(mixture, 4), by_sigma(mixture, schedule).bind()
    levels = logsnr(schedule, count=10)
    x = at_lowest(schedule, x0, levels)
    assert torch.allclose(x, x0 / schedule.alpha(levels[-2]), rtol=1e-14)
    *_, encoded = encode(denoise, x, levels, heun)
    *_, reached = climb(denoise, x, levels, heun, None)
    assert torch.equal(encoded.x, reached.x)


@pytest.mark.parametrize("make", [cosine, edm], ids=["discrete", "continuous"])
def test_decoder_of_a_denser_list_is_no_narrower(make: Callable[[], Schedule]) -> None:
    mixture, schedule = gaussian(0, 1), make()
    x0, denoise = data(mixture, 500), by_sigma(mixture, schedule).bind()
    found = []
    for count in (30, 200):
        *_, last = terms(denoise, x0, logsnr(schedule, count=count), Fresh(), "large", "gaussian")
        found.append(float(last.bits.mean()))
    assert found[1] == pytest.approx(found[0], abs=0.5)


def test_prior_of_a_lower_level_costs_more() -> None:
    x0, schedule = torch.full((1, 4), 0.5, dtype=torch.float64), linear()
    top = schedule.sigma(torch.ones(()).double())
    assert torch.equal(prior_bits(schedule, x0), prior_bits(schedule, x0, top))
    assert float(prior_bits(schedule, x0, top / 10)) > float(prior_bits(schedule, x0))


class TestAntithetic:
    def test_first_probe_is_of_random_signs(self) -> None:
        like = torch.zeros(2, 3, 5, 4, dtype=torch.float64)
        found, plain = (make(like, 1, Rng([4, 7])) for make in (antithetic, rademacher))
        assert torch.equal(found, plain)

    def test_products_of_neighbours_cancel(self) -> None:
        """Of two probes those side by side, of four all but those an even way apart."""
        probes = antithetic(torch.zeros(1, 1, 6, 6, dtype=torch.float64), 4, Rng([0]))[:, 0, 0]
        pairs = {count: torch.einsum("kij,kab->ijab", *[probes[:count]] * 2) for count in (2, 4)}
        for (i, j), (di, dj) in product(product(range(4), repeat=2), product(range(3), repeat=2)):
            apart = pairs[2][i, j, i + di, j + dj]
            assert bool(apart == 0) == bool((di + dj) % 2)
            apart = pairs[4][i, j, i + di, j + dj]
            assert bool(apart == 0) == bool(di % 2 or dj % 2)

    @pytest.mark.parametrize("shape", [(2, 3, 4), (5,), (1, 1, 1)])
    def test_one_for_each_value_is_the_trace(self, shape: tuple[int, ...]) -> None:
        size = math.prod(shape)
        whole = len(walsh(shape, 10_000))
        assert whole == math.prod(1 << (side - 1).bit_length() for side in shape)
        matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).double()
        probes = antithetic(torch.zeros(1, *shape).double(), whole, Rng([0])).reshape(whole, size)
        estimate = torch.einsum("ki,ij,kj->k", probes, matrix, probes).mean()
        assert float(estimate) == pytest.approx(float(matrix.trace()), abs=1e-12)
        more = antithetic(torch.zeros(1, *shape).double(), whole + 1, Rng([0]))
        assert len(more) == whole + 1
        assert size == 1 or not torch.equal(more[-1].abs(), more[-1] * more[0])

    def test_error_is_less_where_neighbours_are_alike(self) -> None:
        """Jacobians of images are blurs: J_ij falls with the distance of i and j."""
        places = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).double()
        blur = torch.exp(-torch.cdist(places, places))
        like = torch.zeros(400, 1, 8, 8, dtype=torch.float64)
        spread = {}
        for make in (antithetic, rademacher):
            flat = make(like, 4, Rng(range(400))).flatten(2)
            spread[make] = float(torch.einsum("kbi,ij,kbj->kb", flat, blur, flat).mean(0).std())
        assert spread[antithetic] < 0.6 * spread[rademacher]
