"""Guidance: two passes, gradients of judges, and what they must come to in closed form."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from declared import SAMPLERS, load
from exact import Fresh, Recorded, by_sigma, gaussian
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.guidance import (
    Pair,
    agreement,
    alone,
    guidance,
    log_probability,
    rescaled,
    steered,
    strength,
)
from ddpm_cli.diffusion.guiders import cfg
from ddpm_cli.diffusion.levels import karras, trailing
from ddpm_cli.diffusion.posterior_means import Traced
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, ddpm, heun
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Move, Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.diffusion.wrappers import clamp

TWO = Mixture(
    [0.5, 0.2, 0.3],
    [[0.5, -0.3, 0.8, 0.1], [-0.6, 0.4, 0.0, -0.7], [0.1, 0.9, -0.4, 0.3]],
    [[0.02, 0.05, 0.01, 0.1], [0.04, 0.03, 0.09, 0.02], [0.05, 0.02, 0.04, 0.03]],
    classes=[0, 1, 1],
    shape=(1, 2, 2),
)
NULL = 2  # the number behind the last class
WANTED = torch.tensor([0, 1, 1])
Judge = Callable[[Tensor, Tensor], Tensor]
# ddpm shifts its mean instead, and the adaptive solver takes one image: both have their own test.
STEPPERS = [
    pytest.param(name, settings, id="-".join([name, *map(str, settings.values())]))
    for name, declared in SAMPLERS.items()
    for settings in declared.settings
    if 1 <= declared.order <= 9 and not name.startswith("ddpm") and "without" not in name
]


class Conditional:
    """The exact denoiser of a mixture, whose conditions are open; counts its calls and rows."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.rows: list[int] = []

    def bind(self, *, classes: Tensor) -> Denoise:
        def call(x: Tensor, sigma: Tensor) -> Prediction:
            self.rows.append(len(x))
            free = classes == NULL
            score = TWO.score(x, 1.0, sigma, torch.where(free, 0, classes))
            score[free] = TWO.score(x, 1.0, sigma)[free]
            width = [-1, *[1] * (x.ndim - 1)]
            return Prediction(x + torch.as_tensor(sigma).reshape(width) ** 2 * score)

        wrapped = Wrapped(by_sigma(TWO, self.schedule), call)
        wrapped.schedule = self.schedule
        return wrapped


def two_passes(schedule: Schedule, **knobs: Any) -> tuple[Denoise, Conditional]:
    inner = Conditional(schedule)
    nothing = torch.full_like(WANTED, NULL)
    pair = Pair.of_nulls(inner, {"classes": WANTED}, {"classes": nothing})
    return guidance(pair, cfg, name="cfg", **knobs), inner


def exact_classifier(wanted: Tensor) -> Judge:
    """log p(y given x) of the mixture's classes, also where it is far below 0."""

    def judge(x: Tensor, sigma: Tensor) -> Tensor:
        _, variance, residual, _ = TWO._terms(x, 1.0, sigma, None)
        logits = TWO.weights.log() - (residual**2 / variance + variance.log()).sum(-1) / 2
        others = TWO.classes != wanted[:, None]
        return logits.masked_fill(others, -torch.inf).logsumexp(1) - logits.logsumexp(1)

    return judge


def noisy(schedule: Schedule, sigma: float, count: int = 3) -> Tensor:
    return (
        Rng(range(count)).normal(torch.empty(count, *TWO.shape).double()) * (1 + sigma**2) ** 0.5
    )


class TestTwoPasses:
    @pytest.mark.parametrize("scale", [0.5, 2.0, 7.5])
    def test_prediction_is_extrapolated(self, scale: float) -> None:
        denoise, inner = two_passes(cosine(), scale=scale)
        x, sigma = noisy(cosine(), 0.7), torch.tensor(0.7).double()
        c = inner.bind(classes=WANTED)(x, sigma).x0
        u = inner.bind(classes=torch.full_like(WANTED, NULL))(x, sigma).x0
        assert torch.allclose(denoise(x, sigma).x0, u + scale * (c - u), atol=1e-12)
        assert inner.rows[-1] == 2 * len(x), "one call for both passes"

    @pytest.mark.parametrize(("scale", "which"), [(1.0, WANTED), (0.0, torch.full((3,), NULL))])
    def test_one_pass_where_one_will_do(self, scale: float, which: Tensor) -> None:
        denoise, inner = two_passes(cosine(), scale=scale)
        x, sigma = noisy(cosine(), 0.7), torch.tensor(0.7).double()
        assert torch.equal(denoise(x, sigma).x0, inner.bind(classes=which)(x, sigma).x0)
        assert inner.rows[0] == len(x)

    def test_levels_outside_the_interval_are_not_guided(self) -> None:
        settings = {"scale": 3.0, "low": 0.5, "high": 2.0}
        denoise, inner = two_passes(cosine(), **settings)
        plain = inner.bind(classes=WANTED)
        for sigma, count in ((0.5, 1), (0.6, 2), (2.0, 2), (2.1, 1)):
            x, level = noisy(cosine(), sigma), torch.tensor(sigma).double()
            same = torch.allclose(denoise(x, level).x0, plain(x, level).x0, atol=1e-9)
            assert same == (count == 1)
            assert alone("cfg", level, settings) is (True if count == 1 else None)

    def test_levels_of_a_batch_are_guided_one_by_one(self) -> None:
        denoise, _ = two_passes(cosine(), scale=3.0, low=0.5)
        sigma = torch.tensor([0.2, 0.7, 3.0]).double()
        x = noisy(cosine(), 0.7)
        together = denoise(x, sigma).x0
        for row, level in enumerate(sigma):
            assert torch.allclose(together[row], denoise(x, level).x0[row], atol=1e-12)

    @pytest.mark.parametrize("scale", [1.8, 0.1, 1.1, 7.3])
    def test_the_scale_is_the_one_asked_for(self, scale: float) -> None:
        """Float32 has none of these numbers: it would guide by 1.7999999523."""
        levels = torch.tensor([0.1, 0.7], dtype=torch.float64)
        given = strength(levels, scale=scale, low=0.1)
        assert given.dtype == torch.float64
        assert given.tolist() == [1, scale]
        assert float(strength(levels[1], scale=scale)) == scale
        assert float(strength(0.1, scale=scale, low=0.1)) == 1
        denoise, inner = two_passes(cosine(), scale=scale)
        x, sigma = noisy(cosine(), 0.7), torch.tensor(0.7, dtype=torch.float64)
        c = inner.bind(classes=WANTED)(x, sigma).x0
        u = inner.bind(classes=torch.full_like(WANTED, NULL))(x, sigma).x0
        assert torch.allclose(denoise(x, sigma).x0, u + scale * (c - u), rtol=0, atol=1e-15)

    def test_rescaling_of_few_numbers(self) -> None:
        """One number has no contrast, and two may have none by chance."""
        x0, c = Fresh(2).normal(torch.empty(5000, 1)), Fresh(3).normal(torch.empty(5000, 1))
        assert torch.equal(rescaled(x0, c, 0.7), x0)
        for size in (2, 3):
            x0, c = (
                2 * Fresh(2).normal(torch.empty(5000, size)),
                Fresh(3).normal(x0.new_empty(5000, size)),
            )
            found = rescaled(x0, c, 1.0)
            assert (found.norm(dim=1) <= x0.norm(dim=1) + c.norm(dim=1) + 1e-12).all()
        flat = torch.full((1, 2), 0.5, dtype=torch.float64)
        assert float(rescaled(flat, torch.tensor([[-1.0, 1.0]]).double(), 1.0).abs().max()) < 3

    def test_rescaling_gives_the_contrast_of_the_conditional_image(self) -> None:
        x0, c = noisy(cosine(), 3.0), noisy(cosine(), 0.1).flip(0)
        whole = rescaled(x0, c, 1.0)
        assert torch.allclose(whole.flatten(1).std(1), c.flatten(1).std(1))
        assert torch.allclose(rescaled(x0, c, 0.25), 0.25 * whole + 0.75 * x0)
        assert torch.equal(rescaled(torch.zeros_like(x0), c, 1.0), torch.zeros_like(x0))

    def test_rescaling_is_a_knob(self) -> None:
        x, sigma = noisy(cosine(), 2.0), torch.tensor(2.0).double()
        plain, inner = two_passes(cosine(), scale=4.0)
        denoise, _ = two_passes(cosine(), scale=4.0, rescale=0.7)
        c = inner.bind(classes=WANTED)(x, sigma).x0
        assert torch.allclose(denoise(x, sigma).x0, rescaled(plain(x, sigma).x0, c, 0.7))


def ended(denoise: Denoise, step: Step, levels: Tensor, draws: Any = None) -> Tensor:
    like = torch.empty(len(WANTED), *TWO.shape).double()
    rng = draws or Rng([5, 6, 7])
    x = start(denoise, levels, like, rng)
    *_, last = walk(denoise, x, levels, rng, predictor=step)
    return last.x


class TestSamplers:
    """An exact classifier makes of an unconditional model the exact conditional one (Bayes)."""

    @pytest.mark.parametrize(("name", "settings"), STEPPERS)
    def test_guided_walk_is_the_conditional_one(self, name: str, settings: dict[str, Any]) -> None:
        schedule = cosine()
        step = load("sampler", name, **settings)
        levels = karras(schedule, count=8, high=20.0)
        conditional = Conditional(schedule).bind(classes=WANTED)
        nothing = Conditional(schedule).bind(classes=torch.full_like(WANTED, NULL))
        guided = steered(nothing, [exact_classifier(WANTED)])
        wanted, found = (ended(one, step, levels) for one in (conditional, guided))
        assert torch.allclose(found, wanted, atol=1e-9)

    def test_adaptive_solver(self) -> None:
        pytest.importorskip("torchdiffeq")
        schedule, wanted = cosine(), WANTED[:1]
        step = load("sampler", "ode", rtol=1e-6, atol=1e-6)
        levels = karras(schedule, count=4, high=20.0)
        ends = []
        for denoise in (
            Conditional(schedule).bind(classes=wanted),
            steered(by_sigma(TWO, schedule), [exact_classifier(wanted)]),
        ):
            rng = Rng([5])
            x = start(denoise, levels, torch.empty(1, *TWO.shape).double(), rng)
            *_, last = walk(denoise, x, levels, rng, predictor=step)
            ends.append(last.x)
        assert torch.allclose(*ends, atol=1e-4)

    @pytest.mark.parametrize("at_mean", [False, True])
    @pytest.mark.parametrize("variance", ["small", "large"])
    def test_ancestral_steps_converge(self, variance: str, at_mean: bool) -> None:
        """The mean shift is exact in the limit, wherever the gradient is taken."""
        schedule = linear()
        step = partial(ddpm, variance=variance)
        conditional = Conditional(schedule).bind(classes=WANTED)
        guided = steered(by_sigma(TWO, schedule), [exact_classifier(WANTED)], at_mean=at_mean)
        errors = []
        for count in (50, 200):
            levels = trailing(schedule, count=count)
            apart = ended(guided, step, levels) - ended(conditional, step, levels)
            errors.append(float(apart.abs().max()))
        assert errors[1] < errors[0] / 2
        assert errors[1] < 0.05

    def test_gradient_at_the_mean_is_for_ancestral_steps(self) -> None:
        denoise = steered(by_sigma(TWO, cosine()), [exact_classifier(WANTED)], at_mean=True)
        with pytest.raises(ValueError, match="use ddpm"):
            ended(denoise, ddim, karras(cosine(), count=4, high=20.0))

    def test_mean_is_where_the_step_would_go(self) -> None:
        """ddpm asks at alpha_s mean, the native place, at the level where it starts."""
        schedule, asked = linear(), []

        def judge(x: Tensor, sigma: Tensor) -> Tensor:
            asked.append((x.detach(), float(sigma)))
            return x.flatten(1).sum(1)

        t, s = schedule.sigma(torch.tensor([0.6, 0.5]).double())
        plain = by_sigma(TWO, schedule)
        x, move = noisy(schedule, float(t)), Move(t, s, 0, torch.stack([t, s, t * 0]))
        mean = ddpm(plain, x, move, Recorded([torch.zeros_like(x)]), [])
        ddpm(steered(plain, [judge], at_mean=True), x, move, Recorded([torch.zeros_like(x)]), [])
        ((place, level),) = asked
        assert level == float(t)
        assert torch.allclose(schedule.alpha(t) * place, schedule.alpha(s) * mean, atol=1e-12)


def score_of(prediction: Prediction) -> Tensor:
    assert prediction.score is not None
    return prediction.score


def measured(y: float, **settings: float) -> Judge:
    """How well images agree with a picture of one grey."""
    return lambda x0, sigma: agreement(y - x0, sigma, **settings)


class TestMeasurements:
    def test_posterior_of_normal_data(self) -> None:
        """For N(0, 1) data the spread of the predicted image is exact, and so is the posterior."""
        schedule, noise, y = cosine(), 0.5, 0.8
        judge = measured(y, noise=noise)
        denoise = steered(by_sigma(gaussian(0.0, 1.0), schedule), clean=[judge])
        levels = karras(schedule, count=40, high=80.0)
        x = start(denoise, levels, torch.empty(4000, 1).double(), Fresh())
        *_, last = walk(denoise, x, levels, Fresh(1), predictor=heun)
        mean, variance = y / (1 + noise**2), noise**2 / (1 + noise**2)
        error = (variance / len(x)) ** 0.5
        assert abs(float(last.x.mean()) - mean) < 4 * error + 2e-3
        assert abs(float(last.x.var()) / variance - 1) < 0.1

    def test_gradient_goes_through_the_network(self) -> None:
        schedule, sigma = cosine(), torch.tensor(0.6).double()
        plain, x = by_sigma(TWO, schedule), noisy(schedule, 0.6)
        weight = Rng([9, 9, 9]).normal(x)
        found = steered(plain, clean=[lambda x0, _: (weight * x0).flatten(1).sum(1)])(x, sigma)
        step, score = 1e-6, torch.zeros_like(x).flatten(1)
        for i in range(score.shape[1]):
            nudge = torch.zeros_like(score)
            nudge[:, i] = step
            ahead, behind = (
                (weight * plain(x + sign * nudge.view_as(x), sigma).x0).flatten(1).sum(1)
                for sign in (1, -1)
            )
            score[:, i] = (ahead - behind) / (2 * step)
        assert found.score is not None
        assert torch.allclose(found.score.flatten(1), score, atol=1e-6)
        assert not found.x0.requires_grad

    def test_the_way_back_stays_where_a_method_goes_it_too(self) -> None:
        plain, x, sigma = by_sigma(TWO, cosine()), noisy(cosine(), 0.6), torch.tensor(0.6).double()
        denoise = steered(plain, clean=[measured(0.5, noise=0.1)])
        traced, bare = Traced(denoise), Traced(plain)
        assert not traced(x, sigma).x0.requires_grad
        assert torch.equal(traced(x, sigma).x0, bare(x, sigma).x0)
        assert torch.equal(traced.slope(x), bare.slope(x))
        assert traced.first.score is not None
        assert torch.equal(traced.first.score, score_of(denoise(x, sigma)))

    def test_clamped_pixels_still_feel_a_pull(self) -> None:
        inner = by_sigma(gaussian(0.0, 9.0), cosine())
        judge = measured(0.5, noise=0.1)
        x, sigma = torch.full((1, 1), -3.0).double(), torch.tensor(0.1).double()
        found = steered(clamp(inner), clean=[judge])(x, sigma)
        assert float(found.x0) == -1
        assert found.score is not None
        assert float(found.score) > 0

    def test_scores_add_up(self) -> None:
        plain, x, sigma = by_sigma(TWO, cosine()), noisy(cosine(), 0.6), torch.tensor(0.6).double()
        image = measured(0.5, noise=0.1, scale=2.0)
        state = exact_classifier(WANTED)
        both = steered(plain, [state], [image])(x, sigma).score
        nested = steered(steered(plain, clean=[image]), [state])(x, sigma).score
        parts = [steered(plain, [state])(x, sigma), steered(plain, clean=[image])(x, sigma)]
        assert both is not None
        assert nested is not None
        total = sum(part.score for part in parts if part.score is not None)
        assert torch.allclose(both, total, atol=1e-12)
        assert torch.allclose(nested, total, atol=1e-12)


def test_an_image_alone_is_the_same_image() -> None:
    denoise = steered(by_sigma(TWO, cosine()), [exact_classifier(WANTED)])
    together = ended(denoise, heun, karras(cosine(), count=6, high=20.0))
    alone = steered(by_sigma(TWO, cosine()), [exact_classifier(WANTED[1:2])])
    levels, rng = karras(cosine(), count=6, high=20.0), Rng([6])
    x = start(alone, levels, torch.empty(1, *TWO.shape).double(), rng)
    *_, last = walk(alone, x, levels, rng, predictor=heun)
    assert torch.allclose(last.x[0], together[1], atol=1e-12)


def test_log_probability() -> None:
    logits = torch.tensor([[1.0, 2.0, -1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    found = log_probability(logits, torch.tensor([1, 2]))
    wanted = torch.stack([logits[0].log_softmax(0)[1], torch.tensor(1 / 3).double().log()])
    assert torch.allclose(found, wanted)
