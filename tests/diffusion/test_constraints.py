"""Known pixels: noised as they should be, exact at the end, whatever the sampler."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from exact import FOUR_PIXELS, Fresh, Recorded, by_sigma, certain
from torch import Tensor

from ddpm_cli.diffusion.constraints import posterior, replace
from ddpm_cli.diffusion.correctors import langevin
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.edits import churn, jumps, repeat
from ddpm_cli.diffusion.known_pixels import begun
from ddpm_cli.diffusion.levels import explicit, trailing
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, ddpm
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.steps import Move, Visited
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

BOTH = pytest.mark.parametrize("kind", [replace, posterior])
LEFT = torch.tensor([True, False]).expand(1, 1, 2, 2)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def move(at: float) -> Move:
    return Move(tensor(at)[0], tensor(0.0)[0], 1, tensor(9, at, 0))


def colours(value: float, count: int = 2) -> Tensor:
    return torch.full((count, 3, 2, 2), value, dtype=torch.float64)


def test_replace_draws_the_known_pixels_at_the_level_of_the_state() -> None:
    x, known, noise = colours(7.0), colours(0.5), Fresh(3).normal(colours(0))
    got = replace(known, LEFT)(x, move(2.0), Visited(x, tensor(9)[0], x), Recorded([noise]))
    assert torch.equal(got[..., 0], (known + 2 * noise)[..., 0])
    assert torch.equal(got[..., 1], x[..., 1])


@pytest.mark.parametrize("t", [9.0, 2.0, 1.5])
def test_posterior_keeps_known_pixels_at_the_forward_process(t: float) -> None:
    """x0 + a (x_t - x0) + b z with a^2 t^2 + b^2 = s^2: the noise that is kept, and the new."""
    s, known, before = 2.0, colours(0.5), colours(3.0)

    def pixel(noise: float) -> float:
        at = Visited(before, tensor(t)[0], before)
        draws = Recorded([colours(noise)])
        return float(posterior(known, LEFT)(before, move(s), at, draws)[0, 0, 0, 0])

    kept, new = (pixel(0.0) - 0.5) / 2.5, pixel(1.0) - pixel(0.0)
    assert kept == pytest.approx(min((s / t) ** 2, 1), rel=1e-12)
    assert kept**2 * t**2 + new**2 == pytest.approx(s**2, rel=1e-12)


def test_posterior_is_that_of_bayes() -> None:
    """The density of x_s is that of x_t given x_s, times that of x_s given x0."""
    t, s, x0, x_t = 3.0, 1.25, 0.5, -1.75
    precision = 1 / s**2 + 1 / (t**2 - s**2)
    mean = (x0 / s**2 + x_t / (t**2 - s**2)) / precision
    at, make = Visited(colours(x_t), tensor(t)[0], colours(0)), posterior(colours(x0), LEFT)
    got = [make(colours(9), move(s), at, Recorded([colours(z)]))[0, 0, 0, 0] for z in (0, 1)]
    assert float(got[0]) == pytest.approx(mean, rel=1e-12)
    assert float(got[1] - got[0]) == pytest.approx(precision**-0.5, rel=1e-12)


@BOTH
def test_level_0_takes_the_clean_pixels_and_draws_nothing(kind: Any) -> None:
    x, known = colours(7.0), colours(0.1)
    end = Move(tensor(0)[0], tensor(0)[0], 2, tensor(9, 2, 0))
    got = kind(known, LEFT)(x, end, Visited(x, tensor(2)[0], x), Recorded([]))
    assert torch.equal(got[..., 0], known[..., 0])
    assert torch.equal(got[..., 1], x[..., 1])


@BOTH
def test_masks_may_differ_within_a_batch(kind: Any) -> None:
    masks = torch.stack([LEFT[0], ~LEFT[0]])
    x, end = colours(7.0), Move(tensor(0)[0], tensor(0)[0], 2, tensor(9, 2, 0))
    got = kind(colours(0.1), masks)(x, end, Visited(x, tensor(2)[0], x), Recorded([]))
    assert torch.equal(got == 0.1, masks.expand(2, 3, 2, 2))


def inpainted(
    step: Any, kind: Any, levels: Tensor, seeds: list[int], mask: Tensor = LEFT, **others: Any
) -> tuple[Tensor, Tensor]:
    """The known image and the last state of a walk, its start included."""
    denoise = certain(by_sigma(FOUR_PIXELS, linear(), "eps", torch.tanh), FOUR_PIXELS)
    known = tensor(0.5, -0.3, 0.8, 0.1).reshape(1, 1, 2, 2).expand(len(seeds), 1, 2, 2)
    rng = Rng(seeds)
    x = begun(linear(), rng.normal(known), levels[0], known, mask)
    constrain = kind(known, mask)
    *_, last = walk(denoise, x, levels, rng, predictor=step, constrain=constrain, **others)
    return known, last.x


@BOTH
@pytest.mark.parametrize("name", catalog.names("sampler"))
def test_every_sampler_leaves_known_pixels_exact(name: str, kind: Any) -> None:
    """Those with a memory and those that ask the network twice a move as well.

    Adaptive solvers take one image of the batch at a time.
    """
    if name == "ode":
        pytest.importorskip("torchdiffeq")
    step = catalog.load(catalog.find("sampler", name))
    known, got = inpainted(step, kind, trailing(linear(), count=12), [7, 8, 9])
    assert torch.equal(got[..., 0], known[..., 0])
    assert got.isfinite().all()
    assert name == "hold" or (got[..., 1].abs() < 2).all()
    _, alone = inpainted(step, kind, trailing(linear(), count=12), [8])
    assert torch.allclose(alone[0], got[1], rtol=0, atol=1e-12), "whatever its batch-mates"
    assert (got[0] - got[1]).abs().max() > 0.01, "seeds make different proposals"


@BOTH
@pytest.mark.parametrize("edit", [partial(churn, low=0.0, high=1e9), jumps, repeat])
def test_every_kind_of_level_list_leaves_known_pixels_exact(edit: Any, kind: Any) -> None:
    levels = edit(trailing(linear(), count=24))
    known, got = inpainted(ddpm, kind, levels, [1, 2], corrector=langevin)
    assert torch.equal(got[..., 0], known[..., 0])
    assert (got[..., 1].abs() < 2).all()


@BOTH
def test_a_mask_that_knows_everything_gives_the_image_back(kind: Any) -> None:
    full = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    known, got = inpainted(ddim, kind, trailing(linear(), count=5), [3], full)
    assert torch.equal(got, known)


@BOTH
def test_a_mask_that_knows_nothing_is_no_constraint(kind: Any) -> None:
    """But for the draws, which a deterministic sampler does not share."""
    none, levels = torch.zeros(1, 1, 1, 1, dtype=torch.bool), trailing(linear(), count=5)
    _, got = inpainted(ddim, kind, levels, [3], none)
    _, want = inpainted(ddim, lambda *_: None, levels, [3], none)
    assert torch.equal(got, want)


def test_the_start_is_the_noised_image_where_that_is_known() -> None:
    level = explicit(linear(), timesteps=[100])[0]
    noise = Fresh(1).normal(torch.empty(2, 1, 2, 2))
    got = begun(linear(), noise, level, torch.full_like(noise, 0.5), LEFT)
    assert torch.allclose(got[..., 0], (0.5 + level * noise)[..., 0], rtol=1e-14)
    prior = start(by_sigma(FOUR_PIXELS, linear()), level[None], noise, Recorded([noise]))
    assert torch.equal(got[..., 1], prior[..., 1])


class Pair:
    """The exact denoiser of two correlated normal pixels."""

    schedule = linear()
    mean = tensor(0.1, -0.2)
    deviation = tensor(0.5, 0.4)
    correlation = 0.9

    def __init__(self) -> None:
        rho = self.correlation
        self.covariance = tensor(1, rho, rho, 1).reshape(2, 2) * self.deviation.outer(
            self.deviation
        )

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        noise = sigma**2 * torch.eye(2, dtype=torch.float64)
        gain = self.covariance @ torch.linalg.inv(self.covariance + noise)
        mean = (x.flatten(1) - self.mean) @ gain.T + self.mean
        left = (self.covariance - gain @ self.covariance).diagonal()
        return Prediction(mean.reshape(x.shape), covariance=left.expand(len(x), 2).view_as(x))

    def given(self, first: float) -> tuple[float, float]:
        """Mean and standard deviation of the second pixel when the first is known."""
        slope = self.correlation * self.deviation[1] / self.deviation[0]
        spread = self.deviation[1] * math.sqrt(1 - self.correlation**2)
        return float(self.mean[1] + slope * (first - self.mean[0])), float(spread)


def drawn(kind: Any, levels: Tensor, first: float, count: int = 3000) -> tuple[float, float]:
    """Mean and standard deviation of the second pixel of a pair, drawn beside the first."""
    denoise: Denoise = Pair()
    known = tensor(first, 0.0).expand(count, 1, 1, 2)
    constrain = kind(known, torch.tensor([True, False]).expand(1, 1, 1, 2))
    rng, step = Fresh(1), partial(ddpm, variance="optimal")
    x = start(denoise, levels, known, rng)
    *_, last = walk(denoise, x, levels, rng, predictor=step, constrain=constrain)
    assert torch.equal(last.x[..., 0], known[..., 0])
    return float(last.x[..., 1].mean()), float(last.x[..., 1].std())


@BOTH
def test_one_pass_is_biased_and_resampling_mends_it(kind: Any) -> None:
    """The second pixel is 0.304 +- 0.174 when the first, of mean 0.1, is 0.8.

    In one pass it comes out at 0.17 +- 0.22, a quarter of the way short; going back over each
    level ten times leads to 0.29 +- 0.18.  The standard error of these means is 0.004.
    """
    mean, deviation = Pair().given(0.8)
    assert (mean, deviation) == (pytest.approx(0.304), pytest.approx(0.1744, abs=1e-4))
    levels = trailing(linear(), count=100)
    once, wide = drawn(kind, levels, 0.8)
    assert once == pytest.approx(0.17, abs=0.016)
    assert wide == pytest.approx(0.22, abs=0.02)
    again, narrow = drawn(kind, jumps(levels, lengths=[1], visits=[10]), 0.8)
    assert again == pytest.approx(mean, abs=0.03)
    assert narrow == pytest.approx(deviation, rel=0.08)
