"""The mathematics of latents against closed forms, in float64."""

import math
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from exact import Fresh, Recorded, by_sigma, gaussian
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.levels import karras, logsnr
from ddpm_cli.diffusion.samplers import (
    ddim,
    ddpm,
    dpm_solver_pp_multi,
    dpm_solver_pp_single,
    dpm_solver_single,
    heun,
    ode,
    unipc,
)
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import edm, subvp, ve, vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import walk

MEAN, VARIANCE = 0.3, 0.25
DATA = torch.tensor([[-1.0], [-0.2], [0.3], [0.9]], dtype=torch.float64)
TWO = Mixture([0.4, 0.6], [[-0.7], [0.5]], [[0.02], [0.05]])

# Each with its order; a method of even order gains one on the way there and back, where the
# leading errors of the two directions cancel.
SOLVERS: dict[str, tuple[Step, float]] = {
    "ddim": (ddim, 1),
    "heun": (heun, 2),
    "dpm-solver-1": (partial(dpm_solver_single, order=1), 1),
    "dpm-solver-2": (partial(dpm_solver_single, order=2), 2),
    "dpm-solver-3": (partial(dpm_solver_single, order=3), 3),
    "dpm++2s": (partial(dpm_solver_pp_single, order=2), 2),
    "dpm++2m": (dpm_solver_pp_multi, 2),
    "unipc": (unipc, 2),
}


def exact(schedule: Schedule, mixture: Mixture | None = None) -> Denoise:
    return by_sigma(mixture or gaussian(MEAN, VARIANCE), schedule)


def climb(denoise: Denoise, x: Tensor, levels: Tensor, step: Step) -> Tensor:
    *_, last = latents.encode(denoise, x, levels, step)
    assert float(last.sigma) == float(levels[0])
    return last.x


def descend(denoise: Denoise, x: Tensor, levels: Tensor, step: Step) -> Tensor:
    *_, last = walk(denoise, x, levels, latents.Silent(), predictor=step)
    return last.x


def closed_form(levels: Tensor) -> Tensor:
    """The flow keeps each quantile: (x - m) grows as the standard deviation does."""
    low, high = float(levels[-2]), float(levels[0])
    growth = math.sqrt((VARIANCE + high**2) / (VARIANCE + low**2))
    return MEAN + (DATA - MEAN) * growth


def slope(error: Callable[[int], float], counts: tuple[int, int]) -> float:
    few, many = counts
    return math.log(error(few) / error(many)) / math.log(many / few)


@pytest.mark.parametrize("name", SOLVERS)
def test_encoding_of_a_gaussian_converges_to_the_closed_form(name: str) -> None:
    step, order = SOLVERS[name]

    def error(count: int) -> float:
        levels = logsnr(cosine(), count=count)
        found = climb(exact(cosine()), DATA, levels, step)
        return float((found - closed_form(levels)).abs().max())

    assert slope(error, (50, 100)) > order - 0.2


@pytest.mark.parametrize("make", [cosine, linear, vp, subvp, ve, edm])
def test_latent_of_a_gaussian_on_every_kind_of_process(make: Callable[[], Schedule]) -> None:
    schedule = make()
    levels = logsnr(schedule, count=60)
    found = climb(exact(schedule), DATA, levels, partial(dpm_solver_single, order=3))
    want = closed_form(levels)
    assert torch.allclose(found, want, rtol=1e-4)
    z = latents.unit(schedule, found, levels[0])
    assert torch.allclose(latents.state(schedule, z, levels[0]), found)
    high, low = float(levels[0]), float(levels[-2])
    share = math.sqrt((VARIANCE + high**2) / (VARIANCE + low**2)) / float(schedule.prior(high))
    assert torch.allclose(z - z[2], (DATA - MEAN) * share, rtol=1e-3), "z[2] is the mean"


@pytest.mark.parametrize("name", SOLVERS)
def test_round_trip_converges_with_the_order_of_the_solver(name: str) -> None:
    step, order = SOLVERS[name]
    denoise = exact(cosine())

    def error(count: int) -> float:
        levels = logsnr(cosine(), count=count, low=0.05, high=80.0)
        back = descend(denoise, climb(denoise, DATA, levels, step), levels[:-1], step)
        return float((back - DATA).abs().max())

    assert slope(error, (50, 100)) > order - 0.2
    assert error(100) < (0.1 if order == 1 else 3e-3)


@pytest.mark.skipif(not find_spec("torchdiffeq"), reason="needs torchdiffeq")
def test_adaptive_solver_comes_back_within_its_tolerance() -> None:
    denoise, step = exact(cosine(), TWO), partial(ode, rtol=1e-5, atol=1e-5)
    levels = logsnr(cosine(), count=2)
    x = climb(denoise, DATA, levels, step)
    assert torch.allclose(descend(denoise, x, levels[:-1], step), DATA, atol=1e-3)


def test_decoding_ends_in_the_clean_image_of_the_lowest_level() -> None:
    denoise, levels = exact(cosine()), logsnr(cosine(), count=200, low=0.3)
    x = climb(denoise, DATA, levels, heun)
    clean = denoise(DATA, levels[-2]).x0
    assert torch.allclose(descend(denoise, x, levels, heun), clean, atol=1e-4)
    assert not torch.allclose(clean, DATA, atol=0.1)


@pytest.mark.parametrize("name", SOLVERS)
def test_an_image_alone_is_the_one_in_a_batch(name: str) -> None:
    step, _ = SOLVERS[name]
    levels, denoise = logsnr(cosine(), count=10), exact(cosine(), TWO)
    batch = climb(denoise, DATA, levels, step)
    alone = torch.cat([climb(denoise, row, levels, step) for row in torch.split(DATA, 1)])
    assert torch.allclose(alone, batch, rtol=1e-12)


@pytest.mark.parametrize("step", [partial(ddim, eta=1.0), partial(ddim, variance="hat"), ddpm])
def test_noise_on_the_way_down_is_refused(step: Step) -> None:
    levels = logsnr(cosine(), count=4)
    with pytest.raises(ValueError, match="adds noise, so that no image would come back"):
        descend(exact(cosine()), DATA, levels, step)


def test_one_level_is_refused() -> None:
    with pytest.raises(ValueError, match="take 2 steps or more"):
        latents.encode(exact(cosine()), DATA, logsnr(cosine(), count=1), ddim)


class TestLevel:
    """--at counts as the papers do, from x_1, the least noisy, to x_T."""

    @pytest.mark.parametrize("t", [1, 2, 500, 1000])
    def test_step_of_a_table(self, t: int) -> None:
        betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
        abar = (1 - betas)[:t].prod()
        assert float(latents.level(linear(), t)) == pytest.approx(float((1 / abar - 1).sqrt()))

    def test_time_and_share(self) -> None:
        schedule = ve(low=0.01, high=100.0)
        assert float(latents.level(schedule, 0.5)) == pytest.approx(1.0)
        assert float(latents.level(schedule, 0.5, share=True)) == pytest.approx(1.0)
        for share, t in ((0.4, 400), (1.0, 1000), (0.0001, 1)):
            assert latents.level(linear(), share, share=True) == latents.level(linear(), t)

    @pytest.mark.parametrize("at", [0, -1, 1001, 0.5, 1.5])
    def test_no_step_of_a_table(self, at: float) -> None:
        with pytest.raises(ValueError, match="give a whole number from 1 to 1000"):
            latents.level(linear(), at)

    @pytest.mark.parametrize("at", [0, -0.1, 1.1, 400])
    def test_no_time_of_a_continuous_process(self, at: float) -> None:
        with pytest.raises(ValueError, match="no time of a continuous process"):
            latents.level(vp(), at)
        with pytest.raises(ValueError, match="more than 0%"):
            latents.level(linear(), at, share=True)


def test_noised_is_the_forward_process() -> None:
    z = torch.tensor([[1.0], [-2.0], [0.5], [0.0]], dtype=torch.float64)
    sigma, schedule = latents.level(linear(), 300), linear()
    native = schedule.alpha(sigma) * latents.noised(DATA, sigma, Recorded([z]))
    abar = schedule.alpha(sigma) ** 2
    assert torch.allclose(native, abar.sqrt() * DATA + (1 - abar).sqrt() * z), "Ho 2020, eq. 4"


class TestBelow:
    LEVELS = torch.tensor([80.0, 8.0, 2.0, 0.5, 0.0], dtype=torch.float64)

    @pytest.mark.parametrize(
        ("sigma", "want"),
        [
            (100.0, [100.0, 80.0, 8.0, 2.0, 0.5, 0.0]),
            (80.0, [80.0, 8.0, 2.0, 0.5, 0.0]),
            (2.0 * (1 + 1e-9), [2.0 * (1 + 1e-9), 0.5, 0.0]),
            (1.0, [1.0, 0.5, 0.0]),
            (0.1, [0.1, 0.0]),
        ],
    )
    def test_starts_at_the_level_asked_for(self, sigma: float, want: list[float]) -> None:
        assert (
            latents.below(self.LEVELS, torch.tensor(sigma, dtype=torch.float64)).tolist() == want
        )

    def test_the_whole_list_is_itself(self) -> None:
        levels = karras(cosine(), count=50)
        assert torch.equal(latents.below(levels, levels[0]), levels)


class TestBlends:
    A, B = (Fresh(seed).normal(torch.empty(3, 1, 40, 40)) for seed in (1, 2))

    @pytest.mark.parametrize("blend", [latents.lerp, latents.slerp])
    def test_ends_are_exact(self, blend: latents.Blend) -> None:
        assert torch.equal(blend(self.A, self.B, 0.0), self.A)
        assert torch.equal(blend(self.A, self.B, 1.0), self.B)

    @pytest.mark.parametrize("blend", [latents.lerp, latents.slerp])
    def test_both_directions_are_one_path(self, blend: latents.Blend) -> None:
        assert torch.allclose(blend(self.A, self.B, 0.3), blend(self.B, self.A, 0.7))

    def test_slerp_keeps_the_length_of_noise_and_lerp_does_not(self) -> None:
        spread = [
            float(blend(self.A, self.B, 0.5).var()) for blend in (latents.slerp, latents.lerp)
        ]
        assert spread[0] == pytest.approx(1, abs=0.05)
        assert spread[1] == pytest.approx(0.5, abs=0.03)

    def test_slerp_of_a_right_angle_is_a_quarter_circle(self) -> None:
        a, b = torch.eye(2, dtype=torch.float64).split(1)
        for share in (0.1, 0.5, 0.8):
            turned = math.pi / 2 * share
            want = torch.tensor([[math.cos(turned), math.sin(turned)]], dtype=torch.float64)
            assert torch.allclose(latents.slerp(a, b, share), want)

    def test_slerp_divides_the_angle_evenly(self) -> None:
        a, b = (v.flatten(1) / v.flatten(1).norm(dim=1, keepdim=True) for v in (self.A, self.B))
        angle = (a * b).sum(1).acos()
        part = (a * latents.slerp(a, b, 0.25)).sum(1).acos()
        assert torch.allclose(part, angle / 4)

    @pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
    def test_slerp_without_a_circle_is_the_line(self, factor: float) -> None:
        """Parallel, opposite and zero vectors."""
        found = latents.slerp(self.A, factor * self.A, 0.25)
        assert torch.allclose(found, (0.75 + 0.25 * factor) * self.A)

    def test_rows_do_not_know_of_each_other(self) -> None:
        whole = latents.slerp(self.A, self.B, 0.3)
        assert torch.allclose(latents.slerp(self.A[1:2], self.B[1:2], 0.3), whole[1:2])


class TestPath:
    ENDS = torch.tensor([[0.0], [10.0], [40.0]], dtype=torch.float64)

    def test_all_ends_are_on_it(self) -> None:
        places = latents.positions(3, 3)
        assert places == [0.0, 0.5, 1.0, 1.5, 2.0]
        found = latents.path(self.ENDS, places, latents.lerp)
        assert found.flatten().tolist() == [0, 5, 10, 25, 40]

    def test_a_place_is_the_same_whatever_their_number(self) -> None:
        some, many = (latents.positions(3, count) for count in (4, 10))
        assert some == many[::3]
        ends = torch.stack([TestBlends.A[0], TestBlends.B[0], TestBlends.A[1]])
        few = latents.path(ends, some, latents.slerp)
        assert torch.equal(few, latents.path(ends, many, latents.slerp)[::3])

    @pytest.mark.parametrize("easing", latents.EASINGS)
    def test_easing_keeps_ends_and_order(self, easing: str) -> None:
        places = latents.positions(3, 11, easing)
        assert [places[0], places[10], places[20]] == [0, 1, 2]
        assert places == sorted(places)
        first, last = places[1] - places[0], places[10] - places[9]
        slower = {"linear": (0.1, 0.1), "smooth": (0.028, 0.028), "in": (0.01, 0.19)}
        assert (first, last) == pytest.approx(slower.get(easing, (0.19, 0.01)))

    def test_one_frame_is_no_path(self) -> None:
        with pytest.raises(ValueError, match="2 frames or more"):
            latents.positions(2, 1)
