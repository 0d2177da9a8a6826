"""What every corrector does: it keeps the law of the state, and mixes modes when annealed."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from exact import Fresh, Impulses, Recorded, by_sigma, gaussian, schedules
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion.correctors import ald, langevin, ncsn
from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.edits import repeat
from ddpm_cli.diffusion.guidance import agreement, steered
from ddpm_cli.diffusion.levels import karras, trailing
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import hold, reverse_diffusion
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import geometric, ve, vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Move, Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

# Two modes, of weights 0.2 and 0.8, that no step of the size of their width crosses.
APART = Mixture([0.2, 0.8], [[-2.0], [2.0]], [[0.01], [0.01]])
SIGMA = torch.tensor(0.7, dtype=torch.float64)
every_corrector = pytest.mark.parametrize("name", catalog.names("corrector"))


def load(name: str, **settings: Any) -> Step:
    return partial(catalog.load(catalog.find("corrector", name)), **settings)


def stay(*others: float) -> Move:
    """A move at SIGMA in a list that has other levels too."""
    levels = torch.tensor([float(SIGMA), float(SIGMA), *others, 0], dtype=torch.float64)
    return Move(levels[0], levels[1], 0, levels)


@every_corrector
def test_move_by_itself_is_that_on_a_single_level(name: str) -> None:
    denoise, x = by_sigma(gaussian(0.4, 0.25), vp()), torch.full((2, 1), 0.7).double()
    alone = load(name)(denoise, x, Move.of(SIGMA, SIGMA), Fresh(), [])
    assert torch.equal(alone, load(name)(denoise, x, stay(), Fresh(), []))


@pytest.mark.parametrize("name", ["ald", "ncsn"])
def test_keeps_the_law_of_a_gaussian_to_first_order(name: str) -> None:
    """The variance is off by the square of the step; the mean is not at all."""
    denoise, total = by_sigma(gaussian(0.4, 0.25), vp()), 0.25 + float(SIGMA) ** 2
    errors = []
    for size in (0.02, 0.01):
        knobs = {"ald": {"snr": size**0.5}, "ncsn": {"step": size}}[name]
        x = torch.full((3, 1), 0.4, dtype=torch.float64)
        x[1] += 1
        got = load(name, **knobs)(denoise, x, stay(0.3), Impulses(), [])
        assert float(got[0]) == pytest.approx(0.4, abs=1e-12)
        answer = (got - got[0]).flatten()
        errors.append(float(answer[1] ** 2 * total + answer[2] ** 2) - total)
    assert errors[0] / errors[1] == pytest.approx(4, rel=1e-3)
    assert 0 < errors[1] < 0.01 * total


@pytest.mark.parametrize(("spread", "order"), [(0.0, None), (0.25, 2)])
def test_langevin_keeps_the_law_of_points_exactly(spread: float, order: int | None) -> None:
    """Of a wider Gaussian its variance is off by the square of the step, as with Euler's."""
    denoise, total = by_sigma(gaussian(0.4, spread), vp()), spread + float(SIGMA) ** 2
    errors = []
    for size in (0.02, 0.01):
        x = torch.full((3, 1), 0.4, dtype=torch.float64)
        x[1] += 1
        got = langevin(denoise, x, stay(), Impulses(), [], snr=size**0.5)
        assert float(got[0]) == pytest.approx(0.4, abs=1e-12)
        answer = (got - got[0]).flatten()
        errors.append(float(answer[1] ** 2 * total + answer[2] ** 2) - total)
    if order is None:
        assert errors == pytest.approx([0, 0], abs=1e-15)
    else:
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.02)


def test_no_step_is_too_large_for_langevin() -> None:
    """It forgets the state and noises the clean image afresh; Euler's step overshoots."""
    denoise, x = by_sigma(gaussian(0.4, 0.0), vp()), torch.full((1, 1), 7.0).double()
    z = torch.full_like(x, 0.5)
    for snr in (10.0, 1e200):
        got = langevin(denoise, x, stay(), Recorded([z]), [], snr=snr)
        assert float(got) == pytest.approx(0.4 + float(SIGMA) * 0.5)
    assert not ald(denoise, x, stay(), Recorded([z]), [], snr=1e200).isfinite()


PROCESSES = {"linear": linear(), "cosine": cosine(), "vp": vp(), "ve": ve()}


class TestPredictorCorrector:
    """The recipe pc, whose steps have to have a mean in few dimensions, too."""

    @pytest.mark.parametrize("name", PROCESSES)
    @pytest.mark.parametrize("size", [1, 2, 3, 16, 784])
    def test_normal_data_keep_their_variance(self, name: str, size: int) -> None:
        """100 levels and 200 corrections; the standard error of the variance is 0.6%."""
        levels = trailing(PROCESSES[name], count=100)
        x = corrected(PROCESSES[name], levels, torch.empty(50_000 // size, size).double())
        assert float(x.square().mean()) == pytest.approx(1, abs=0.03)
        assert float(x.abs().max()) < 6

    @pytest.mark.parametrize("name", ["cosine", "edm", "ve", "vp"])
    def test_corrections_mend_the_predictor_on_other_levels(self, name: str) -> None:
        schedule = schedules()[name]
        levels, like = karras(schedule, count=100), torch.empty(50_000, 1).double()
        alone, mended = (
            abs(float(corrected(schedule, levels, like, count=count).square().mean()) - 1)
            for count in (0, 2)
        )
        assert mended < alone / 2
        assert mended < 0.05

    @pytest.mark.parametrize("corrector", ["langevin", "ald"])
    def test_guided_to_a_posterior(self, corrector: str) -> None:
        """What is measured, y = x + noise z, pulls N(0, 1) to its posterior."""
        noise, y = 0.5, 0.8

        def judge(x0: Tensor, sigma: Tensor) -> Tensor:
            return agreement(y - x0, sigma, noise=noise)

        levels = karras(cosine(), count=200)
        like = torch.empty(20_000, 1).double()
        wrap = partial(steered, clean=[judge])
        x = corrected(cosine(), levels, like, corrector=load(corrector), wrap=wrap)
        assert float(x.mean()) == pytest.approx(y / (1 + noise**2), abs=0.02)
        assert float(x.var()) == pytest.approx(noise**2 / (1 + noise**2), rel=0.06)


def corrected(
    schedule: Schedule,
    levels: Tensor,
    like: Tensor,
    *,
    count: int = 2,
    corrector: Step = langevin,
    wrap: Callable[[Denoise], Denoise] = lambda denoise: denoise,
) -> Tensor:
    """The ends of walks with the exact denoiser of N(0, 1), count corrections a level."""
    inner = by_sigma(gaussian(0.0, 1.0), schedule)
    denoise = wrap(Wrapped(inner, lambda x, sigma: Prediction(x / (1 + sigma**2))))
    rng = Fresh()
    x = start(denoise, levels, like, rng)
    path = repeat(levels, count=count) if count else levels
    *_, last = walk(denoise, x, path, rng, predictor=reverse_diffusion, corrector=corrector)
    return last.x


def weights(levels: Tensor, count: int, corrector: Step) -> float:
    """The share of the left mode, 0.2 if all is well."""
    denoise, rng = by_sigma(APART, geometric(low=0.05, high=8.0)), Fresh()
    x = start(denoise, levels, torch.empty(4000, 1).double(), rng)
    *_, last = walk(
        denoise, x, repeat(levels, count=count), rng, predictor=hold, corrector=corrector
    )
    return float((last.x < 0).double().mean())


def test_annealing_finds_the_weights_that_plain_langevin_misses() -> None:
    """Plain Langevin dynamics fills the modes (Song 2019, figure 3), but with wrong weights."""
    step = partial(ald, snr=0.25)
    ladder = torch.logspace(math.log10(8), math.log10(0.05), 15, dtype=torch.float64)
    end = torch.zeros(1).double()
    annealed = weights(torch.cat([ladder, end]), 60, step)
    assert annealed == pytest.approx(0.2, abs=0.03)
    plain = weights(torch.tensor([0.1, 0.0], dtype=torch.float64), 900, step)
    assert plain == pytest.approx(0.5, abs=0.05), "the shares of the start, half and half"


@every_corrector
def test_image_is_the_same_alone_and_in_a_batch(name: str) -> None:
    denoise = by_sigma(APART, vp())
    x = torch.tensor([[-2.0], [0.1], [30.0]], dtype=torch.float64)
    batch = load(name)(denoise, x, stay(), Rng([1, 2, 3]), [])
    for row in range(3):
        alone = load(name)(denoise, x[row : row + 1], stay(), Rng([row + 1]), [])
        assert torch.allclose(alone[0], batch[row], rtol=1e-12, atol=0)


@every_corrector
def test_one_call_and_one_draw(name: str) -> None:
    calls: list[Tensor] = []

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        calls.append(sigma)
        return Prediction(x / 2)

    z = torch.randn(2, 3, dtype=torch.float64)
    denoise: Denoise = Wrapped(by_sigma(APART, vp()), call)
    load(name)(denoise, torch.ones(2, 3).double(), stay(), Recorded([z]), [])
    assert [float(sigma) for sigma in calls] == [float(SIGMA)]


@every_corrector
def test_guidance_is_part_of_the_score(name: str) -> None:
    inner = by_sigma(gaussian(0.4, 0.25), vp())
    pushed = Wrapped(inner, lambda x, sigma: inner(x, sigma)._replace(score=torch.ones_like(x)))
    x, z = torch.ones(2, 1).double(), torch.ones(2, 1).double()
    plain, guided = (
        load(name)(denoise, x, stay(), Recorded([z]), []) for denoise in (inner, pushed)
    )
    assert (plain - guided).abs().min() > 1e-6


def test_step_of_ncsn_is_that_of_the_lowest_level() -> None:
    """On one level it is plain Langevin dynamics: x + a / 2 score + sqrt(a) z."""
    denoise = by_sigma(gaussian(0.0, 1.0), vp())
    x, z = torch.ones(1, 1).double(), torch.full((1, 1), 2.0).double()
    score = -1 / (1 + float(SIGMA) ** 2)
    for others, a in (((), 0.01), ((0.35,), 0.04)):
        got = ncsn(denoise, x, stay(*others), Recorded([z]), [], step=0.01)
        assert float(got) == pytest.approx(1 + a / 2 * score + a**0.5 * 2, rel=1e-12)
