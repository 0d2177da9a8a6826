"""Draws of training times: spread as they should be, and weighted without bias."""

import math

import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion.draws import (
    likelihood,
    lognormal,
    loss_second_moment,
    low_discrepancy,
    uniform,
)
from ddpm_cli.diffusion.rates import rate
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm, ve, vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.settings import catalog


class Fixed:
    """An Rng whose uniform numbers are given."""

    def __init__(self, *values: float) -> None:
        self.values = torch.tensor([values])

    def uniform(self, n: int = 1) -> Tensor:
        return self.values[:, :n]


class Endless:
    """A process in continuous time."""

    steps = None


EVEN = ("uniform", "low-discrepancy")  # draws that prefer no time


@pytest.mark.parametrize("name", EVEN)
def test_times_of_a_table_are_all_reached_equally_often(name: str) -> None:
    draw, steps = catalog.load(catalog.find("draw", name)), 8
    t, weight = draw(cosine(steps=steps), 80_000, Rng([3]))
    assert t.dtype == weight.dtype == torch.float64
    index = t * steps
    assert torch.equal(index, index.round())
    counts = torch.bincount(index.long(), minlength=steps + 1)
    assert counts[0] == 0, "the papers' t runs from 1 to T"
    assert counts[1:].tolist() == pytest.approx([10_000] * steps, abs=4 * math.sqrt(80_000 / 8))
    assert torch.equal(weight, torch.ones_like(t))


@pytest.mark.parametrize("name", EVEN)
def test_times_of_a_continuous_process_are_never_0(name: str) -> None:
    draw = catalog.load(catalog.find("draw", name))
    t, _ = draw(Endless(), 80_000, Rng([3]))
    assert 0 < t.min() < 1e-3
    assert 1 - 1e-3 < t.max() <= 1
    assert float(t.mean()) == pytest.approx(0.5, abs=4 / math.sqrt(12 * 80_000))


def test_ends_of_the_uniform_numbers() -> None:
    top = 1 - 2**-24  # the largest float32 below 1
    assert uniform(cosine(), 2, Fixed(0.0, top))[0].tolist() == [0.001, 1.0]
    assert uniform(Endless(), 2, Fixed(0.0, top))[0].tolist() == [1.0, 2**-24]


def test_low_discrepancy_times_are_evenly_spaced() -> None:
    """A batch of T has each time once, whatever the offset."""
    for offset in (0.001, 0.3, 0.999):
        t, _ = low_discrepancy(cosine(steps=100), 100, Fixed(offset))
        assert torch.allclose(t.sort().values, torch.linspace(0.01, 1, 100).double(), rtol=1e-6)
        t, _ = low_discrepancy(Endless(), 4, Fixed(offset))
        assert torch.allclose(t.sort().values.diff(), torch.full((3,), 0.25).double())


def test_draws_repeat_with_their_seed() -> None:
    for draw in (uniform, low_discrepancy):
        first, again, other = (draw(cosine(), 16, Rng([seed]))[0] for seed in (5, 5, 6))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


@pytest.mark.parametrize("process", [linear(steps=50), vp(), ve(), vp(steps=50)])
def test_likelihood_times_are_even_in_log_snr_and_unbiased(process: Schedule) -> None:
    t, weight = likelihood(process, 40_000, Rng([1]))
    steps = process.steps or 100_000
    times = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    for f in (torch.ones_like, torch.sqrt, lambda t: t**3):
        want = float(f(times[times > 1e-4]).mean())
        assert float((weight * f(t)).mean()) == pytest.approx(want, rel=0.1)
    # Weighted by the likelihood, all times count alike.
    product = weight * rate(process, t)
    assert float(product.std() / product.mean()) < 1e-6


def test_lognormal_levels() -> None:
    t, weight = lognormal(edm(), 40_000, Rng([1]), mean=-1.0, std=0.8)
    log_sigma = edm().sigma(t).log()
    assert float(log_sigma.mean()) == pytest.approx(-1.0, abs=4 * 0.8 / 200)
    assert float(log_sigma.std()) == pytest.approx(0.8, rel=0.02)
    assert torch.equal(weight, torch.ones_like(t))
    t, _ = lognormal(cosine(steps=20), 500, Rng([1]), std=3.0)
    assert torch.equal(t * 20, (t * 20).round())
    assert 0.05 <= t.min() < t.max() <= 1


class TestMemory:
    """The draw in proportion to the size of the losses."""

    def taught(self) -> loss_second_moment:
        draw = loss_second_moment(history=2, uniform=0.1)
        draw(linear(steps=50), 1, Rng([0]))
        times = torch.arange(1, 51, dtype=torch.float64) / 50
        for scale in (9.0, 1.0, 2.0):  # the first is forgotten
            draw.update(times, scale * times)
        return draw

    def test_times_come_in_proportion_to_their_losses_and_unbiased(self) -> None:
        draw, n = self.taught(), 200_000
        t, weight = draw(linear(steps=50), n, Rng([1]))
        counts = torch.bincount((t * 50).round().long() - 1, minlength=50) / n
        sizes = torch.arange(1, 51, dtype=torch.float64)
        want = 0.9 * sizes / sizes.sum() + 0.1 / 50
        assert torch.allclose(draw.shares(), want)
        assert torch.allclose(counts.double(), want, atol=4 * math.sqrt(0.04 / n))
        assert float((weight * t**2).mean()) == pytest.approx(0.3434, rel=0.01)

    def test_uniform_until_every_time_is_known(self) -> None:
        draw = loss_second_moment(history=1)
        _, weight = draw(linear(steps=50), 100, Rng([1]))
        draw.update(torch.arange(1, 50).double() / 50, torch.arange(49.0))
        assert torch.equal(weight, torch.ones(100).double())
        assert torch.allclose(draw.shares() * 50, torch.ones(50).double())

    def test_resumes(self) -> None:
        draw, other = self.taught(), loss_second_moment(history=2, uniform=0.1)
        other.load(draw.tensors())
        for a, b in zip(
            draw(linear(steps=50), 9, Rng([4])), other(linear(steps=50), 9, Rng([4])), strict=True
        ):
            assert torch.equal(a, b)
        other.update(torch.tensor([1.0]), torch.tensor([7.0]))
        assert not torch.equal(other.shares(), draw.shares()), "the copy has a memory of its own"

    def test_continuous_process_is_refused(self) -> None:
        with pytest.raises(ValueError, match="set its steps"):
            loss_second_moment()(vp(), 4, Rng([0]))
