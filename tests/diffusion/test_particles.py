"""Particles: what they are drawn from in closed form, and the simplest cases of them."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from exact import Fresh, by_sigma, certain
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion import particles
from ddpm_cli.diffusion.denoiser import Denoise, Memory, Prediction, Wrapped
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.particles import Population, Rules, when
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, ddpm, dpm_solver_pp_multi
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Select, State
from ddpm_cli.diffusion.walk import start, walk

SCALE = 0.6
ALONG = torch.tensor([1.0, -1.0, 0.5, 2.0], dtype=torch.float64)
ONE = Mixture([1.0], [[0.5, -0.3, 0.8, 0.1]], [[0.2, 0.5, 0.1, 0.3]], shape=(1, 2, 2))
THREE = Mixture(
    [0.5, 0.2, 0.3],
    [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.4, 0.0, -0.7], [0.1, 0.9, -0.4, 0.3]],
    [[0.02, 0.05, 0.01, 0.1], [0.04, 0.03, 0.09, 0.02], [0.05, 0.02, 0.04, 0.03]],
    shape=(1, 2, 2),
)
OPTIMAL = partial(ddpm, variance="optimal")


def along(x: Tensor) -> Tensor:
    """The reward a.x of images [N, ...]."""
    return x.flatten(1).double() @ ALONG


def tilted(mixture: Mixture, scale: float) -> tuple[Tensor, Tensor]:
    """Mean and deviations [D] of p(x) exp(scale a.x), p a mixture of N(m, C).

    Its parts are N(m + scale C a, C), with weights times exp(scale a.m + scale^2 a'Ca / 2).
    """
    m, c = mixture.means, mixture.variances
    weights = mixture.weights * (scale * (m @ ALONG) + scale**2 * (c * ALONG**2).sum(1) / 2).exp()
    weights, m = (weights / weights.sum())[:, None], m + scale * c * ALONG
    mean = (weights * m).sum(0)
    return mean, ((weights * (m**2 + c)).sum(0) - mean**2).sqrt()


def exact(mixture: Mixture) -> Denoise:
    return certain(by_sigma(mixture, cosine(steps=1000)), mixture)


def drawn(
    denoise: Denoise,
    rules: Rules,
    groups: int = 1,
    rounds: int = 5,
    steps: int = 40,
    score: Callable[[Tensor], Tensor] = along,
) -> tuple[Population, State]:
    """The particles of some groups after a walk, and the state that all of them end in."""
    levels = karras(denoise.schedule, count=steps)
    chance = torch.Generator().manual_seed(5)

    def chances(number: int) -> list[float]:
        return torch.rand(groups, generator=chance).tolist()

    population = Population(score, chances, when(levels, rounds), groups, rules)
    x = torch.zeros(groups * rules.size, 1, 2, 2, dtype=torch.float64)
    rng = Fresh(3)
    x = start(denoise, levels, x, rng)
    *_, last = walk(denoise, x, levels, rng, predictor=OPTIMAL, select=population)
    return population, last


@pytest.mark.parametrize("mixture", [ONE, THREE], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("potential", ["difference", "max", "sum"])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 1.0])
def test_weighted_particles_are_of_the_tilted_distribution(
    mixture: Mixture, potential: particles.Potential, threshold: float
) -> None:
    rules = Rules(6000, SCALE, potential, threshold, "drawn")
    population, last = drawn(exact(mixture), rules)
    weights, x = population.groups[0].weights.softmax(0)[:, None], last.x.flatten(1)
    mean = (weights * x).sum(0)
    deviation = ((weights * x**2).sum(0) - mean**2).sqrt()
    wanted, spread = tilted(mixture, SCALE)
    noise = 5 * spread / math.sqrt(min(particles.effective(population.groups[0].weights), 2000))
    assert bool(((mean - wanted).abs() < noise).all()), (mean, wanted, noise)
    assert bool(((deviation - spread).abs() < noise).all())
    assert bool(((tilted(mixture, 0.0)[0] - wanted).abs() > noise).any()), "it could not fail"


def test_one_drawn_of_each_group_is_of_the_tilted_distribution() -> None:
    """But for what so few particles cannot tell, which falls with their number."""
    population, last = drawn(exact(THREE), Rules(16, SCALE, "difference", 0.5, "drawn"), 1200)
    x = population.shown(last).x.flatten(1)
    wanted, spread = tilted(THREE, SCALE)
    assert len(x) == 1200
    assert bool(((x.mean(0) - wanted).abs() < 4 * spread / math.sqrt(1200) + 0.02).all())


def test_the_best_of_one_round_is_the_best_of_plain_walks() -> None:
    denoise, rules = exact(THREE), Rules(8, 1.0, "difference", 0.5, "best")
    population, last = drawn(denoise, rules, 3, rounds=1, steps=6)
    plain = drawn(denoise, rules._replace(scale=0.0), 3, rounds=1, steps=6)[1].x
    assert torch.equal(last.x, plain), "nobody was drawn anew"
    best = plain.reshape(3, 8, -1)[torch.arange(3), along(plain).reshape(3, 8).argmax(1)]
    assert torch.equal(population.shown(last).x.flatten(1), best)


def test_no_scale_and_one_particle_leave_the_walk_alone() -> None:
    denoise = exact(THREE)
    levels = karras(denoise.schedule, count=6)
    plain = torch.zeros(12, 1, 2, 2, dtype=torch.float64)
    rng = Fresh(3)
    *_, last = walk(denoise, start(denoise, levels, plain, rng), levels, rng, predictor=OPTIMAL)
    for size, scale, groups in ((12, 0.0, 1), (1, 50.0, 12)):
        rules = Rules(size, scale, "difference", 1.0, "drawn")
        assert torch.equal(drawn(denoise, rules, groups, steps=6)[1].x, last.x)


def test_more_particles_and_scale_bring_more_reward() -> None:
    denoise = exact(THREE)
    rewards = []
    for size, scale in ((1, 1.0), (4, 3.0), (16, 3.0)):
        rules = Rules(size, scale, "difference", 0.5, "drawn")
        population, last = drawn(denoise, rules, 200, steps=20)
        rewards.append(float(along(population.shown(last).x).mean()))
    assert rewards[0] + 0.3 < rewards[1]
    assert rewards[1] + 0.1 < rewards[2]


def test_a_group_does_not_depend_on_others() -> None:
    denoise, rules = exact(THREE), Rules(6, 3.0, "max", 0.9, "drawn")
    levels = karras(denoise.schedule, count=8)

    def ended(seeds: list[int]) -> Tensor:
        own = [100 * seed + i for seed in seeds for i in range(6)]

        def chances(number: int) -> list[float]:
            return Rng(seeds, "resample", number).uniform(1)[:, 0].tolist()

        population = Population(along, chances, when(levels, 4), len(seeds), rules)
        rng = Rng(own)
        x = start(denoise, levels, torch.zeros(len(own), 1, 2, 2, dtype=torch.float64), rng)
        *_, last = walk(denoise, x, levels, rng, predictor=OPTIMAL, select=population)
        return population.shown(last).x

    together = ended([3, 1, 4])
    for row, seed in enumerate((3, 1, 4)):
        torch.testing.assert_close(ended([seed])[0], together[row], rtol=0, atol=1e-12)


def test_the_memory_of_a_solver_goes_with_its_rows() -> None:
    """Rows that change places after every move end where they would have, in the other order."""
    denoise = exact(THREE)
    levels = karras(denoise.schedule, count=7)
    x = start(denoise, levels, torch.zeros(5, 1, 2, 2, dtype=torch.float64), Fresh(1))
    turn = torch.tensor([1, 2, 3, 4, 0])
    *_, plain = walk(denoise, x, levels, Fresh(), predictor=dpm_solver_pp_multi)
    *_, turned = walk(
        denoise, x, levels, Fresh(), predictor=dpm_solver_pp_multi, select=lambda state: turn
    )
    order = torch.arange(5)
    for _ in range(len(levels) - 1):
        order = order[turn]
    torch.testing.assert_close(turned.x, plain.x[order], rtol=0, atol=1e-12)
    torch.testing.assert_close(turned.x0, plain.x0[order], rtol=0, atol=1e-12)


def test_what_guidance_keeps_goes_with_its_rows() -> None:
    """As momentum does: what a move leaves belongs to its row."""
    plain = exact(THREE)
    levels = karras(plain.schedule, count=7)
    x = start(plain, levels, torch.zeros(5, 1, 2, 2, dtype=torch.float64), Fresh(1))
    turn = torch.tensor([1, 2, 3, 4, 0])

    def ended(select: Select | None) -> Tensor:
        memory = Memory()

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            before = 0.0 if memory.total is None else 0.3 * memory.total
            memory.leave(x)
            return Prediction(plain(x, sigma).x0 + before)

        denoise = Wrapped(plain, call, [], memory)
        *_, last = walk(denoise, x, levels, Fresh(), predictor=ddim, select=select)
        return last.x

    order = torch.arange(5)
    for _ in range(len(levels) - 1):
        order = order[turn]
    turned = ended(lambda state: turn)
    torch.testing.assert_close(turned, ended(None)[order], rtol=0, atol=1e-12)


def test_when_there_are_scores() -> None:
    down = [8.0, 4.0, 2.0, 1.0, 0.5, 0.0]
    assert when(down, 1) == [4]
    assert when(down, 2) == [2, 4]
    assert when(down, 5) == when(down, 50) == [0, 1, 2, 3, 4]
    assert when([8.0, 4.0, 4.0, 2.0, 4.0, 2.0, 0.0], 2) == [2, 5], "moves that fall alone count"


def test_systematic_draws_are_the_shares_rounded() -> None:
    weights = torch.tensor([0.5, 0.07, 0.3, 0.13], dtype=torch.float64)
    for chance in (0.0, 0.3, 0.999):
        rows = particles.systematic(weights.repeat(25).div(25).log(), chance)
        counts = torch.bincount(torch.tensor(rows), minlength=100).double()
        assert int(counts.sum()) == 100
        assert bool(((counts - weights.repeat(25) / 25 * 100).abs() < 1 + 1e-9).all())
    chances = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    rows = torch.tensor([particles.systematic(weights.log(), float(u)) for u in chances])
    shares = torch.bincount(rows.flatten(), minlength=4).double() / rows.numel()
    torch.testing.assert_close(shares, weights, rtol=0, atol=2e-3)


def test_effective_particles() -> None:
    assert particles.effective(torch.zeros(7)) == pytest.approx(7)
    assert particles.effective(torch.tensor([0.0, -1e9, -1e9])) == pytest.approx(1)
    halves = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert particles.effective(halves.log() + 300) == pytest.approx(1 / 0.375)
