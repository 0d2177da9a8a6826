"""What every sampler of the catalog must do, whatever it computes inside."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from declared import SAMPLERS, load
from exact import FOUR_PIXELS, Even, Fresh, by_sigma, certain, gaussian, moments
from golden.analytic_model import Mixture
from sampling import cases, images, informed, sample
from torch import Tensor

from ddpm_cli.diffusion.levels import explicit, karras, trailing
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Move
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

every_sampler = cases()

# Those that take a fixed number of calls, which thousands of images share.
every_stepper = cases(low=1, high=9)


def test_every_sampler_declares_its_order() -> None:
    assert sorted({name.split()[0] for name in SAMPLERS}) == catalog.names("sampler")


@every_stepper
def test_reaches_the_mean_and_deviation_of_normal_data(name: str, settings: Any) -> None:
    step, data = load("sampler", name, **settings), gaussian(0.4, 0.09)
    draws = SAMPLERS[name].draws_of(settings)
    denoise = informed(by_sigma(data, linear(), channel=torch.zeros_like), data, step)
    levels = trailing(linear(), count=200 * SAMPLERS[name].slow)
    mean, variance = moments(denoise, levels, step, 0.4, 0.09, draws)
    # 200 steps of the small variance lose 4 % of the deviation.
    assert mean == pytest.approx(0.4, abs=1e-3)
    assert math.sqrt(variance) == pytest.approx(0.3, rel=0.06)


# How far the deviation may be off, by the number of levels, for orders 1 and above.
CROWDED = {20: (0.4, 0.12), 50: (0.13, 0.02), 200: (0.035, 0.0015)}


@every_stepper
def test_levels_that_lie_closer_than_the_trained_ones(name: str, settings: Any) -> None:
    """Karras levels on the cosine schedule: rounded to trained ones they would meet.

    Solvers divide by the distance of two levels (diffusers, issue 12771).
    """
    step, data = load("sampler", name, **settings), gaussian(0.4, 0.09)
    draws = SAMPLERS[name].draws_of(settings)
    denoise = informed(by_sigma(data, cosine(), channel=torch.zeros_like), data, step)
    for count, slack in {10: (math.inf, math.inf), **CROWDED}.items():
        levels = karras(cosine(), count=count * SAMPLERS[name].slow)
        mean, variance = moments(denoise, levels, step, 0.4, 0.09, draws)
        assert math.isfinite(variance)
        assert mean == pytest.approx(0.4, abs=1e-9)
        assert abs(math.sqrt(variance) / 0.3 - 1) < slack[SAMPLERS[name].order > 1]


@every_stepper
def test_reaches_the_weights_of_a_mixture(name: str, settings: Any) -> None:
    step = load("sampler", name, **settings)
    # Where no noise is drawn on the way, few starts that are evenly spread show the same.
    is_noisy = SAMPLERS[name].draws_of(settings) > 0
    like, rng = torch.empty(10_000 if is_noisy else 1000, 1).double(), Even()
    mixture = Mixture([0.3, 0.7], [[-0.8], [0.5]], [[0.01], [0.01]])
    levels = trailing(linear(), count=100 * SAMPLERS[name].slow)
    got = sample(mixture, linear(), levels, rng, step, like)
    assert float((got < -0.15).double().mean()) == pytest.approx(0.3, abs=0.02)
    low, high = got[got < -0.15], got[got > -0.15]
    assert float(low.mean()) == pytest.approx(-0.8, abs=0.01)
    assert float(high.mean()) == pytest.approx(0.5, abs=0.01)


def geometric(top: float, bottom: float, count: int) -> Tensor:
    return torch.logspace(math.log10(top), math.log10(bottom), count + 1, dtype=torch.float64)


@every_stepper
def test_converges_with_its_declared_order(name: str, settings: Any) -> None:
    """Halving the steps in log sigma divides the error by 2^order."""
    step, declared = load("sampler", name, **settings), SAMPLERS[name]
    top, bottom = declared.ends
    draws = declared.draws_of(settings)
    data = gaussian(0.4, 0.25)
    denoise = informed(by_sigma(data, linear(), channel=torch.zeros_like), data, step)
    errors = []
    for count in (64, 128):
        levels = geometric(top, bottom, count)
        mean, variance = moments(denoise, levels, step, 0.4, 0.25, draws)
        assert mean == pytest.approx(0.4, abs=1e-9)
        errors.append(abs(math.sqrt(variance) - math.sqrt(0.25 + bottom**2)))
    if name.endswith("without error"):  # on normal data
        assert max(errors) < 1e-12
        return
    for coarse, fine in pairwise(errors):
        slope = math.log2(coarse / fine)
        assert declared.order - 0.15 < slope < declared.order + declared.above


@every_sampler
def test_image_is_the_same_alone_and_in_a_batch(name: str, settings: Any) -> None:
    step, levels = load("sampler", name, **settings), trailing(linear(), count=10)
    shape = FOUR_PIXELS.shape
    batch = sample(
        FOUR_PIXELS, linear(), levels, Rng([7, 8, 9]), step, torch.empty(3, *shape).double()
    )
    for row, seed in enumerate([7, 8, 9]):
        alone = sample(
            FOUR_PIXELS, linear(), levels, Rng([seed]), step, torch.empty(1, *shape).double()
        )
        assert torch.allclose(alone[0], batch[row], rtol=0, atol=1e-12)
    assert (batch[0] - batch[1]).abs().max() > 0.01, "seeds make different images"


@every_sampler
def test_float32_state_is_as_good_as_float64(name: str, settings: Any) -> None:
    step, levels = load("sampler", name, **settings), trailing(linear(), count=50)
    like = images(name, 8)
    wide, narrow = (
        sample(FOUR_PIXELS, linear(), levels, Rng(range(len(like))), step, like.to(d))
        for d in (torch.float64, torch.float32)
    )
    assert narrow.dtype == torch.float32
    assert wide.dtype == torch.float64
    assert torch.allclose(narrow.double(), wide, rtol=0, atol=1e-4)


@every_sampler
def test_makes_no_noise_that_it_does_not_use(name: str, settings: Any) -> None:
    """The last move ends at the clean image; a deterministic sampler draws nothing at all."""

    class Counted(Fresh):
        calls = 0

        def normal(self, like: Tensor) -> Tensor:
            self.calls += 1
            return super().normal(like)

    rng, step = Counted(), load("sampler", name, **settings)
    levels = explicit(linear(), timesteps=[900, 500, 100])
    sample(FOUR_PIXELS, linear(), levels, rng, step, torch.empty(1, *FOUR_PIXELS.shape).double())
    draws = SAMPLERS[name].draws_of(settings)
    assert rng.calls == 1 + 2 * draws, "the start, and every move but the last"


@every_sampler
def test_a_move_by_itself_is_the_first_of_a_walk(name: str, settings: Any) -> None:
    step, levels = load("sampler", name, **settings), torch.tensor([2.0, 1.0, 0.0]).double()
    denoise = certain(by_sigma(FOUR_PIXELS, linear(), "eps", torch.tanh), FOUR_PIXELS)
    x = 2 * Fresh(1).normal(images(name, 2))
    first, last = walk(denoise, x, levels, Fresh(), predictor=step)
    got = step(denoise, x, Move.of(2.0, 1.0), Fresh(), [])
    assert torch.equal(got, first.x)
    assert torch.equal(step(denoise, first.x, Move.of(1.0, 0.0), Fresh(), []), last.x)


@pytest.mark.parametrize("name", ["dpm-solver-multi", "dpm-solver-pp-multi", "unipc"])
def test_moves_by_themselves_are_of_the_order_of_a_long_walk(name: str) -> None:
    step = load("sampler", name, order=3, lower_order_final=0)
    denoise, levels = by_sigma(FOUR_PIXELS, linear()).bind(), geometric(4, 0.5, 8)
    x = start(denoise, levels, torch.empty(2, *FOUR_PIXELS.shape).double(), Fresh())
    *_, last = walk(denoise, x, levels, Fresh(), predictor=step)
    careful, past = load("sampler", name, order=3), []  # which ends walks of 8 on order 1
    for t, s in pairwise(levels):
        x = careful(denoise, x, Move.of(t, s), Fresh(), past)
    assert torch.equal(x, last.x)


def test_noise_limited_at_the_end_of_a_walk_needs_its_levels() -> None:
    step = load("sampler", "ddpm", variance="optimal", clip_pixels=2.0)
    denoise = certain(by_sigma(FOUR_PIXELS, linear()), FOUR_PIXELS)
    with pytest.raises(ValueError, match="give the move levels"):
        step(denoise, images("ddpm", 1), Move.of(1.0, 0.5), Fresh(), [])


@pytest.mark.parametrize(
    ("name", "eta"),
    [
        ("dpm-solver-single", None),
        ("dpm-solver-multi", 0.0),
        ("dpm-solver-pp-single", 0.0),
        ("dpm-solver-pp-single", 0.5),
        ("dpm-solver-pp-multi", 0.0),
        ("dpm-solver-pp-multi", 1.0),
    ],
)
@pytest.mark.parametrize("make", [linear, cosine])
def test_order_1_is_ddim(name: str, eta: float | None, make: Callable[[], Schedule]) -> None:
    schedule = make()
    like, levels = torch.empty(4, *FOUR_PIXELS.shape).double(), trailing(schedule, count=10)
    knobs = {} if eta is None else {"eta": eta}
    steps = (load("sampler", name, order=1, **knobs), load("sampler", "ddim", **knobs))
    got, want = (sample(FOUR_PIXELS, schedule, levels, Rng(range(4)), s, like) for s in steps)
    # In eps, rounding counts in units of the first level: 20,291 for the cosine.
    slack = max(1e-12, 1e-15 * float(levels[0]))
    assert torch.allclose(got, want, rtol=0, atol=slack)
