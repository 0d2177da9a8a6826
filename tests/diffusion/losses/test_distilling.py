"""Progressive distillation on normal data, where teacher and students are known in closed form."""

from itertools import pairwise

import pytest
import torch
from exact import Recorded, by_sigma, gaussian
from torch import Tensor

from ddpm_cli.diffusion import levels, parameterizations
from ddpm_cli.diffusion.denoiser import Denoise, Denoiser, Prediction, Wrapped
from ddpm_cli.diffusion.few_steps import moves, target
from ddpm_cli.diffusion.losses.distilling import progressive
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers.implicit import ddim
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.processes import flow, vp
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Move

VARIANCE = 0.36
DATA = gaussian(0.0, VARIANCE)


class Lesson:
    """A teacher that is told nothing."""

    def __init__(self, denoise: Denoise, levels: Tensor) -> None:
        self.denoise, self.levels = denoise, levels

    def lesson(self, condition: dict[str, object], rng: Rng) -> tuple[Denoise, dict[str, object]]:
        return self.denoise, condition


def times(x: Tensor, factors: Tensor) -> Tensor:
    return x * factors.reshape(-1, *[1] * (x.ndim - 1))


@pytest.mark.parametrize("schedule", [cosine(), vp(), flow()])
def test_the_target_is_where_two_steps_of_ddim_lead(schedule: Schedule) -> None:
    denoise, grid = by_sigma(DATA, schedule), levels.trailing(schedule, count=8)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double()
    for t, middle, s in ((grid[2], grid[3], grid[4]), (grid[6], grid[7], grid[8])):
        state = times(x, t.expand(5))
        once = ddim(denoise, state, Move.of(t, middle), Recorded([]), [])
        twice = ddim(denoise, once, Move.of(middle, s), Recorded([]), [])
        goal = target(denoise, state, t.expand(5), middle.expand(5), s.expand(5))
        assert torch.allclose(goal + s / t * (state - goal), twice, rtol=1e-12, atol=0)
        if s == 0:
            assert torch.allclose(goal, denoise(once, middle).x0, rtol=1e-12, atol=0)


def test_one_step_of_the_last_student_is_the_whole_walk_of_the_first_teacher() -> None:
    """Each student, exact by its closed form, has no loss and teaches the next: 8, 4, 2, 1."""
    schedule = cosine()
    grid = levels.trailing(schedule, count=8)
    teacher: Denoise = by_sigma(DATA, schedule)
    product = 1.0
    for t, s in pairwise(grid):
        a = VARIANCE / (VARIANCE + t**2)
        product *= float(a + s / t * (1 - a))
    rng = Rng([1, 2, 3, 4])
    t = torch.tensor([0.1, 0.4, 0.6, 1.0], dtype=torch.float64)
    x0 = torch.randn(4, 3, generator=torch.Generator().manual_seed(1)).double()
    while len(grid) > 2:
        factors = {
            float(grid[i]): float(
                target(teacher, torch.ones(1, 1).double(), *grid[i : i + 3, None])
            )
            for i in range(0, len(grid) - 1, 2)
        }

        def exact(x: Tensor, sigma: Tensor, factors: dict[float, float] = factors) -> Prediction:
            known = [factors[float(one)] for one in sigma.expand(len(x))]
            return Prediction(times(x, torch.tensor(known, dtype=torch.float64)))

        student = Wrapped(by_sigma(DATA, schedule), exact)
        student.parameterization = parameterizations.v  # type: ignore[attr-defined]
        loss = progressive(student, x0, t, rng, Lesson(teacher, grid))  # type: ignore[arg-type]
        assert float(loss.abs().max()) < 1e-20
        teacher, grid = student, grid[::2]
    x = torch.ones(1, 1).double()
    assert float(teacher(x, grid[:1]).x0) == pytest.approx(product, rel=1e-9)


@pytest.mark.parametrize("weighting", ["truncated", "snr+1"])
def test_weights_are_those_of_the_authors(weighting: str) -> None:
    schedule = vp()
    grid = levels.trailing(schedule, count=4)
    denoise = by_sigma(gaussian(0.0, 1.0), schedule, "v")
    x0, noise = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(2)).double()
    t = torch.tensor([0.4, 1.0], dtype=torch.float64)
    high, middle, low = moves(grid, t)
    wrong = Wrapped(denoise, lambda x, sigma: Prediction(torch.zeros_like(x)))
    lesson = Lesson(wrong, grid)
    loss = progressive(denoise, x0, t, Recorded([noise]), lesson, weighting=weighting)  # type: ignore[arg-type]
    x = x0 + times(noise, high)
    error = (denoise(x, high).x0 - target(wrong, x, high, middle, low)).square().mean(1)
    snr = high**-2
    right = snr.clamp(min=1) if weighting == "truncated" else snr + 1
    assert torch.allclose(loss, right * error, rtol=1e-12)


def test_each_move_of_the_student_has_an_equal_share_of_the_times() -> None:
    grid = torch.arange(8, -1, -1, dtype=torch.float64)
    t = torch.tensor([0.0, 0.01, 0.25, 0.26, 0.74, 0.75, 0.76, 1.0], dtype=torch.float64)
    high, middle, low = moves(grid, t)
    assert high.tolist() == [2, 2, 2, 4, 6, 6, 8, 8]
    assert (high - middle).tolist() == (middle - low).tolist() == [1.0] * 8


def test_a_network_of_noise_is_refused() -> None:
    schedule = cosine()
    student: Denoiser = by_sigma(DATA, schedule, "eps")
    lesson = Lesson(student, levels.trailing(schedule, count=4))
    with pytest.raises(ValueError, match=r"counts 2\.03e\+04 times in x0"):
        progressive(student, torch.zeros(1, 1), torch.ones(1), Rng([0]), lesson)
