"""Flow matching falls out of the core: Euler's method is ddim, its times and shifts are levels."""

import math
from itertools import pairwise

import pytest
import torch
from exact import Recorded, by_sigma, gaussian
from torch import Tensor

from ddpm_cli.diffusion import draws, edits, levels
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.implicit import ddim
from ddpm_cli.diffusion.schedules.processes import edm, flow, vp
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.walk import walk

DATA = gaussian(0.3, 0.25)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def velocity(z: Tensor, t: float) -> Tensor:
    """E[eps - x0 given z] of z = (1 - t) x0 + t eps and data N(0.3, 0.25), in closed form."""
    variance = (1 - t) ** 2 * 0.25 + t**2
    off = z - (1 - t) * 0.3
    return t / variance * off - (0.3 + (1 - t) * 0.25 / variance * off)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_eulers_method_on_the_velocity_is_ddim_on_any_times(power: float) -> None:
    times = torch.linspace(0.99, 0, 9, dtype=torch.float64) ** power
    z = random(4, 1)
    sigmas = times / (1 - times)
    x = z * (1 + sigmas[0])
    for t, s in pairwise(times.tolist()):
        z = z + (s - t) * velocity(z, t)
    denoise = by_sigma(DATA, flow(), "flow")
    *_, last = walk(denoise, x, sigmas, Recorded([]), predictor=ddim)
    assert torch.allclose(last.x, z, rtol=0, atol=1e-12)


@pytest.mark.parametrize("other", ["v", "edm"])
def test_one_image_is_drawn_by_what_predicts_the_same(other: str) -> None:
    schedule = {"v": cosine(), "edm": edm()}[other]
    sigmas = torch.tensor([30.0, 8.0, 2.0, 0.4, 0.1, 0.0], dtype=torch.float64)
    x = 30 * random(3, 1)
    ends = []
    for denoise in (by_sigma(DATA, flow(), "flow"), by_sigma(DATA, schedule, other)):
        *_, last = walk(denoise, x, sigmas, Recorded([]), predictor=ddim)
        ends.append(last.x)
    assert torch.allclose(*ends, rtol=0, atol=1e-12)


def test_logit_normal_times_are_lognormal_levels() -> None:
    t, weight = draws.logit_normal(flow(), 20_000, Rng([3]), mean=0.5, std=0.8, shift=2.0)
    logit = (t / (1 - t)).log()
    assert float(logit.mean()) == pytest.approx(0.5 + math.log(2), abs=0.02)
    assert float(logit.std()) == pytest.approx(0.8, abs=0.02)
    assert bool((weight == 1).all())
    same, _ = draws.lognormal(flow(), 20_000, Rng([3]), mean=0.5 + math.log(2), std=0.8)
    assert torch.equal(t, same)


@pytest.mark.parametrize("draw", [draws.uniform, draws.low_discrepancy])
def test_a_shift_multiplies_the_levels_that_are_trained(draw: object) -> None:
    plain, _ = draw(flow(), 64, Rng([1]))  # type: ignore[operator]
    shifted, weight = draw(flow(), 64, Rng([1]), shift=3.0)  # type: ignore[operator]
    assert torch.allclose(shifted, 3 * plain / (1 + 2 * plain), atol=1e-5)
    assert bool((weight == 1).all())
    rows, _ = draw(cosine(), 64, Rng([1]), shift=3.0)  # type: ignore[operator]
    assert torch.allclose(rows * 1000, (rows * 1000).round())
    assert float(rows.mean()) > float(plain.mean())


def test_a_shift_of_levels_keeps_the_start_and_their_order() -> None:
    listed = levels.trailing(flow(), count=10)
    shifted = edits.shift(listed, by=3.0)
    t = listed / (1 + listed)
    want = 3 * t / (1 + 2 * t)
    assert torch.allclose((shifted / (1 + shifted))[1:], want[1:], rtol=1e-9)
    assert shifted[0] == listed[0]
    low = edits.shift(levels.karras(vp(), count=10), by=3.0)
    assert bool((low.diff() < 0).all())
    assert low[-1] == 0
    assert len(low) < 11, "what would pass the highest level is left out"
    with pytest.raises(ValueError, match="put shift before"):
        edits.shift(edits.churn(listed), by=2.0)
