"""Every guider with every sampler: what all keep, and what they come to where the answer is known.

Two denoisers of exact mixtures stand for a model that is told something and for a worse one.
"""

import math
from typing import Any

import pytest
import torch
from declared import load
from exact import FOUR_PIXELS, by_sigma, certain, gaussian
from golden.analytic_model import Mixture
from sampling import cases
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Memory, Prediction, Wrapped
from ddpm_cli.diffusion.directed import directed
from ddpm_cli.diffusion.guidance import At, Pair, alone, guidance
from ddpm_cli.diffusion.guiders import apg, cfg, cfg_pp, cfg_zero
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, heun
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.settings import catalog

WORSE = Mixture(
    [0.5, 0.5],
    [[0.3, -0.3, 0.6, 0.0], [-0.5, 0.6, 0.2, -0.5]],
    [[0.2, 0.25, 0.2, 0.3], [0.24, 0.3, 0.3, 0.2]],
    shape=(1, 2, 2),
)
GUIDERS = catalog.names("guidance")
SCALES = {"cfg-pp": 0.6}
FREE: dict[str, dict[str, Any]] = {"apg": {"eta": 1.0, "momentum": 0.0}}


def two(schedule: Schedule, *, is_certain: bool = False) -> tuple[Denoise, Denoise]:
    """Exact denoisers of the mixture and of a worse one."""
    told = by_sigma(FOUR_PIXELS, schedule, channel=torch.tanh)
    return (certain(told, FOUR_PIXELS) if is_certain else told), by_sigma(WORSE, schedule)


def guided(schedule: Schedule, name: str, *, knobs: Any = None, **settings: Any) -> Denoise:
    pair = Pair.of_two(*two(schedule))
    settings = {"scale": SCALES.get(name, 2.5)} | settings
    return guidance(pair, load("guidance", name, **(knobs or {})), name=name, **settings)


def stepped(name: str, step: Step) -> Step:
    """The step of a sampler as guidance of this name takes it."""
    return directed(step) if name == "cfg-pp" else step


def ended(denoise: Denoise, step: Step, seeds: list[int], count: int = 4) -> Tensor:
    levels, rng = karras(denoise.schedule, count=count, high=20.0), Rng(seeds)
    like = torch.empty(len(seeds), *FOUR_PIXELS.shape).double()
    *_, last = walk(denoise, start(denoise, levels, like, rng), levels, rng, predictor=step)
    return last.x


@pytest.mark.parametrize("guider", GUIDERS)
@cases()
def test_an_image_alone_is_as_in_a_batch(name: str, settings: dict[str, Any], guider: str) -> None:
    """Momentum, projections and limits are of each image, with every sampler."""
    schedule, step = cosine(), stepped(guider, load("sampler", name, **settings))
    pair = Pair.of_two(*two(schedule, is_certain=settings.get("variance") == "optimal"))
    knobs = {"limit": 0.4} if guider == "apg" else {}

    def walked(seeds: list[int]) -> Tensor:
        made = load("guidance", guider, **knobs)
        denoise = guidance(pair, made, name=guider, scale=SCALES.get(guider, 2.5))
        return ended(denoise, step, seeds)

    alone = walked([4])
    assert alone.isfinite().all()
    if name != "ode":  # solves image by image, and is given one
        assert torch.allclose(walked([3, 4])[1:], alone, rtol=0, atol=1e-12)
    plain = ended(two(schedule, is_certain="optimal" in settings.values())[0], step, [4])
    assert not torch.allclose(alone, plain, atol=1e-6)


@pytest.mark.parametrize("guider", [name for name in GUIDERS if name != "cfg-pp"])
def test_a_scale_of_one_is_none_to_the_bit(guider: str) -> None:
    denoise, told = guided(cosine(), guider, scale=1.0), two(cosine())[0]
    assert torch.equal(ended(denoise, heun, [0, 1]), ended(told, heun, [0, 1]))
    assert alone(guider, torch.tensor(1.0), {"scale": 1.0})


@pytest.mark.parametrize("guider", GUIDERS)
def test_outside_the_interval_is_none_to_the_bit(guider: str) -> None:
    denoise, told = guided(cosine(), guider, low=100.0), two(cosine())[0]
    step = stepped(guider, heun)
    assert torch.equal(ended(denoise, step, [0, 1]), ended(told, step, [0, 1]))
    inside = guided(cosine(), guider, low=0.1, high=3.0)
    assert not torch.equal(ended(inside, step, [0, 1]), ended(told, step, [0, 1]))


@cases()
def test_apg_without_all_its_parts_is_plain_to_the_bit(
    name: str, settings: dict[str, Any]
) -> None:
    step = load("sampler", name, **settings)
    is_certain = settings.get("variance") == "optimal"
    ends = []
    for guider in (cfg, load("guidance", "apg", **FREE["apg"])):
        pair = Pair.of_two(*two(cosine(), is_certain=is_certain))
        ends.append(ended(guidance(pair, guider, name="apg", scale=3.7), step, [5]))
    assert torch.equal(*ends)


def test_what_is_guided_away_from_itself_stays_to_the_bit() -> None:
    told = two(cosine())[0]
    denoise = guidance(Pair.of_two(told, told), cfg, name="cfg", scale=3.0)
    assert torch.equal(ended(denoise, heun, [0, 1]), ended(told, heun, [0, 1]))


class TestAutoguidance:
    """Data N(0, c1^2) guided away from N(0, c0^2): the ODE is linear, and its end known."""

    @pytest.mark.parametrize("w", [0.0, 0.5, 1.0, 1.8, 3.0])
    def test_deviation_of_normal_data(self, w: float) -> None:
        """S (c1^2 / (c1^2 + S^2))^(w/2) (c0^2 / (c0^2 + S^2))^((1-w)/2), nearly c1^w c0^(1-w)."""
        c1, c0, top = 0.6, 0.9, 400.0
        schedule = cosine()
        pair = Pair.of_two(*(by_sigma(gaussian(0.0, c**2), schedule) for c in (c1, c0)))
        denoise = guidance(pair, cfg, name="cfg", scale=w)
        levels = karras(schedule, count=400, low=0.002, high=top)
        like = torch.ones(1, *gaussian(0.0, 1.0).shape).double()
        *_, last = walk(denoise, top * like, levels, Rng([0]), predictor=heun)
        a1, a0 = (c**2 / (c**2 + top**2) for c in (c1, c0))
        exact = top * a1 ** (w / 2) * a0 ** ((1 - w) / 2)
        assert float(last.x.flatten()[0]) == pytest.approx(exact, rel=2e-4)
        assert exact == pytest.approx(c1**w * c0 ** (1 - w), rel=1e-4)

    def test_a_worse_model_has_another_process_and_parameterization(self) -> None:
        """At equal sigma the networks' own scales and targets do not matter."""
        schedule, sigma = cosine(), torch.tensor(0.7).double()
        x = Rng([1, 2]).normal(torch.empty(2, *FOUR_PIXELS.shape).double())
        told = by_sigma(FOUR_PIXELS, schedule)
        found = []
        for other, target in ((schedule, "eps"), (catalog_schedule("edm"), "x0")):
            pair = Pair.of_two(told, by_sigma(WORSE, other, target))
            found.append(guidance(pair, cfg, name="cfg", scale=2.0)(x, sigma).x0)
        assert torch.allclose(*found, rtol=0, atol=1e-12)


def catalog_schedule(name: str) -> Schedule:
    schedule: Schedule = catalog.load(catalog.find("schedule", name))()
    return schedule


class TestProjecting:
    def at(self, weight: float, memory: Memory | None = None, sigma: float = 0.8) -> At:
        rows = Rng([7, 8, 9]).normal(torch.empty(3, 1, 4, 4).double())
        weight, one = torch.tensor([weight, 1.0], dtype=torch.float64)
        return At(rows, torch.tensor(sigma).double(), weight, one, memory or Memory())

    def both(self) -> tuple[Tensor, Tensor]:
        like = torch.empty(3, 1, 4, 4).double()
        return Rng([1, 2, 3]).normal(like), Rng([4, 5, 6]).normal(like)

    @pytest.mark.parametrize("eta", [0.0, 0.3, 2.0])
    def test_parts_of_the_difference(self, eta: float) -> None:
        told, other = self.both()
        d = told - other
        unit = told / told.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
        parallel = (d * unit).flatten(1).sum(1).reshape(-1, 1, 1, 1) * unit
        wanted = told + 2.0 * (d - parallel + eta * parallel)
        found = apg(told, other, self.at(3.0), eta=eta, momentum=0.0).x0
        assert torch.allclose(found, wanted, rtol=0, atol=1e-12)

    def test_limit_is_of_each_image(self) -> None:
        told, other = self.both()
        other[0] = told[0] + 1e-3
        found = apg(told, other, self.at(2.0), eta=1.0, limit=0.5, momentum=0.0).x0
        lengths = (found - told).flatten(1).norm(dim=1)
        assert torch.allclose(lengths[1:], torch.full((2,), 0.5).double())
        assert float(lengths[0]) == pytest.approx(4e-3)

    @pytest.mark.parametrize("beta", [-0.75, 0.5])
    def test_momentum_is_of_moves_not_of_calls(self, beta: float) -> None:
        told, other = self.both()
        memory, total = Memory(), torch.zeros_like(told)
        for move in range(4):
            memory.begin(move, is_new=move == 0)
            share = 1.0 + move
            total = share * (told - other) + beta * total
            wanted = told + total
            for call in range(2):  # the second one sees the same past
                behind = told - (share + call) * (told - other)
                found = apg(told, behind, self.at(2.0, memory), eta=1.0, momentum=beta).x0
                extra = call * (told - other)
                assert torch.allclose(found, wanted + extra, rtol=0, atol=1e-12)
        memory.begin(4, is_new=True)
        again = apg(told, other, self.at(2.0, memory), eta=1.0, momentum=beta).x0
        assert torch.allclose(again, 2 * told - other, rtol=0, atol=1e-12)

    def test_a_walk_tells_each_move(self) -> None:
        """With momentum ddim's walk is that of contrasts summed by hand."""
        schedule, beta = cosine(), -0.5
        told, other = two(schedule)
        levels = karras(schedule, count=5, high=20.0)
        x = y = start(told, levels, torch.empty(2, *FOUR_PIXELS.shape).double(), Rng([0, 1]))
        total = torch.zeros_like(x)
        for t, s in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            c, u = (one(y, torch.tensor(t, dtype=torch.float64)).x0 for one in (told, other))
            total = c - u + beta * total
            x0 = c + 1.5 * total
            y = x0 + s / t * (y - x0)
        knobs = {"eta": 1.0, "momentum": beta}
        denoise = guided(schedule, "apg", knobs=knobs, scale=2.5)
        *_, last = walk(denoise, x, levels, Rng([0, 1]), predictor=load("sampler", "ddim"))
        assert torch.allclose(last.x, y, rtol=0, atol=1e-12)

    def test_the_null_velocity_is_as_long_as_fits(self) -> None:
        """What is left of v_c beside s v_u is orthogonal to v_u, and v is a flow's."""
        told, other = self.both()
        at = self.at(1.7)
        sigma = float(at.sigma)
        velocity = {}
        guided_x0 = cfg_zero(told, other, at, zero_moves=0).x0
        for name, x0 in (("c", told), ("u", other), ("w", guided_x0)):
            velocity[name] = ((at.x - x0) / sigma - x0).flatten(1)
        c, u = velocity["c"], velocity["u"]
        s = (c * u).sum(1, keepdim=True) / u.square().sum(1, keepdim=True)
        assert torch.allclose(velocity["w"], s * u + 1.7 * (c - s * u), rtol=0, atol=1e-7)
        double = ((at.x - other) / sigma - other) * 2
        longer = (at.x - sigma * double) / (1 + sigma)
        assert torch.allclose(cfg_zero(told, longer, at, zero_moves=0).x0, guided_x0, atol=1e-7)

    def test_first_moves_of_no_velocity(self) -> None:
        """A flow's own state x / (1 + sigma) stays where it is."""
        denoise = guided(cosine(), "cfg-zero", knobs={"zero_moves": 2})
        levels = karras(denoise.schedule, count=5, high=20.0)
        like = torch.empty(2, *FOUR_PIXELS.shape).double()
        x = start(denoise, levels, like, Rng([0, 1]))
        native = [x / (1 + levels[0])]
        for state in walk(denoise, x, levels, Rng([0, 1]), predictor=load("sampler", "ddim")):
            native.append(state.x / (1 + state.sigma))
        assert torch.allclose(native[1], native[0], rtol=0, atol=1e-12)
        assert torch.allclose(native[2], native[0], rtol=0, atol=1e-12)
        assert not torch.allclose(native[3], native[0], atol=1e-3)


class TestDirected:
    @pytest.mark.parametrize("scale", [0.0, 0.4, 1.0])
    def test_ddim_is_the_papers_step(self, scale: float) -> None:
        schedule = cosine()
        told, other = two(schedule)
        levels = karras(schedule, count=6, high=20.0)
        x = y = start(told, levels, torch.empty(2, *FOUR_PIXELS.shape).double(), Rng([0, 1]))
        z = x
        for t, s in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            level = torch.tensor(t, dtype=torch.float64)
            c, u = told(y, level).x0, other(y, level).x0
            y = u + scale * (c - u) + s / t * (y - u)
            c, u = told(z, level).x0, other(z, level).x0
            x0 = u + scale * t / (t - s) * (c - u)  # plain guidance of another scale
            z = x0 + s / t * (z - x0)
        denoise = guided(schedule, "cfg-pp", scale=scale)
        *_, last = walk(denoise, x, levels, Rng([0, 1]), predictor=directed(ddim))
        assert torch.allclose(last.x, y, rtol=0, atol=1e-12)
        assert torch.allclose(y, z, rtol=0, atol=1e-10)

    @cases()
    def test_a_scale_of_zero_is_the_other_to_the_bit(
        self, name: str, settings: dict[str, Any]
    ) -> None:
        if settings.get("variance") in ("optimal", "learned"):
            pytest.skip("the other denoiser knows no variance")
        step, other = load("sampler", name, **settings), two(cosine())[1]
        denoise = guided(cosine(), "cfg-pp", scale=0.0)
        assert torch.equal(ended(denoise, directed(step), [6]), ended(other, step, [6]))

    def test_multistep_solvers_expand_the_free_prediction(self) -> None:
        """Of 2M: x0 in the place of u, which alone is extrapolated."""
        schedule = cosine()
        told, other = two(schedule)
        levels = karras(schedule, count=5, high=20.0)
        x = y = start(told, levels, torch.empty(2, *FOUR_PIXELS.shape).double(), Rng([0, 1]))
        before: tuple[float, Tensor] | None = None
        knobs = {"order": 2, "eta": 0.0, "lower_order_final": 0}
        for t, s in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
            level = torch.tensor(t, dtype=torch.float64)
            c, u = told(y, level).x0, other(y, level).x0
            h = math.log(t / s) if s else math.inf
            slope = 0.0 if before is None or not s else (u - before[1]) / before[0] * h / 2
            y = 0.6 * (c - u) + s / t * y + (1 - s / t) * (u + slope)
            before = (h, u)
        denoise = guided(schedule, "cfg-pp")
        step = directed(load("sampler", "dpm-solver-pp-multi", **knobs))
        *_, last = walk(denoise, x, levels, Rng([0, 1]), predictor=step)
        assert torch.allclose(last.x, y, rtol=0, atol=1e-10)

    def test_who_solves_image_by_image_is_given_all_shifts(self) -> None:
        denoise, step = guided(cosine(), "cfg-pp"), load("sampler", "ddim")

        def by_image(denoise: Denoise, x: Tensor, *rest: Any) -> Tensor:
            return torch.cat([step(denoise, row, *rest) for row in x.split(1)])

        found = [ended(denoise, directed(one), [1, 2]) for one in (by_image, step)]
        assert torch.allclose(*found, rtol=0, atol=1e-12)

    def test_levels_of_a_batch(self) -> None:
        sigma = torch.tensor([0.2, 3.0]).double()
        x = Rng([1, 2]).normal(torch.empty(2, *FOUR_PIXELS.shape).double())
        told, other = two(cosine())
        prediction = guided(cosine(), "cfg-pp", low=1.0)(x, sigma)
        assert prediction.free is not None
        assert torch.allclose(prediction.x0[0], told(x, sigma).x0[0], rtol=0, atol=1e-12)
        assert torch.equal(prediction.free[0], prediction.x0[0])
        assert torch.allclose(prediction.free[1], other(x, sigma).x0[1], rtol=0, atol=1e-12)


def test_wrappers_keep_what_a_walk_is_remembered_by() -> None:
    denoise = guided(cosine(), "apg")
    around = Wrapped(Wrapped(denoise, denoise), denoise, [guided(cosine(), "apg")])
    assert len(around.memories) == 2
    assert isinstance(cfg_pp(*TestProjecting().both(), TestProjecting().at(0.5)), Prediction)
