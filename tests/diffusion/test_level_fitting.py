"""Levels fitted to exact denoisers: planned ones against all lists that there are."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from typing import Any

import pytest
import torch
from exact import by_sigma, gaussian

from ddpm_cli.diffusion import level_fitting
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.latents import Silent
from ddpm_cli.diffusion.level_fitting import Costs, Places, Recalled, Reference
from ddpm_cli.diffusion.levels import fitted, karras, trailing
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.samplers import ddim, dpm_solver_pp_multi, heun
from ddpm_cli.diffusion.schedules.processes import vp
from ddpm_cli.diffusion.schedules.tables import cosine, linear
from ddpm_cli.diffusion.walk import walk

DEVIATIONS = (0.3, 1.0)  # of the data


def reference(deviation: float, size: int) -> tuple[Denoise, Reference]:
    """The exact walk of one number of N(0, deviation^2) data along a grid."""
    schedule = linear()
    denoise = by_sigma(gaussian(0.0, deviation**2), schedule).bind()
    grid = level_fitting.grid(schedule, size)
    states = [torch.ones(1, 1).double() * (deviation**2 + t**2).sqrt() for t in grid]
    told = [denoise(x, t) for x, t in zip(states[:-1], grid[:-1], strict=True)]
    return denoise, Reference(grid, states, told)


def costs(deviation: float, size: int, step: Any) -> tuple[Costs, Reference]:
    """What jumps along the exact walk cost, if it starts at its top."""
    denoise, known = reference(deviation, size)
    starts = [known.states[0], *(math.inf * x for x in known.states[1:-1])]
    missed = level_fitting.costs(denoise, known, step, starts, Silent())
    assert missed is not None
    nudged = [x * 1.01 for x in known.states]
    return missed.carried(level_fitting.gains(level_fitting.apart(known, nudged))), known


def lists(size: int, count: int) -> list[list[int]]:
    """All lists of so many levels that start at the top of a grid."""
    return [[0, *rest] for rest in combinations(range(1, size), count - 1)]


@pytest.mark.parametrize("deviation", DEVIATIONS)
@pytest.mark.parametrize("size", [8, 20])
def test_ddim_on_gaussian_data_ends_as_near_as_any_list(deviation: float, size: int) -> None:
    planned, known = costs(deviation, size, ddim)
    count = len(known.levels) - 1

    def end(path: Sequence[int]) -> float:
        x = float(known.states[0])
        for t, s in pairwise([*known.levels[list(path)].tolist(), 0.0]):
            a = deviation**2 / (deviation**2 + t**2)
            x *= a + s / t * (1 - a)
        return abs(x - deviation)

    least = math.inf
    found = level_fitting.cheapest(planned, [1, 2, 3, count])
    for moves in (1, 2, 3):
        best = min(lists(count, moves), key=end)
        assert found[moves] == best
        assert end(best) < least
        least = end(best)
    assert found[count] == list(range(count))


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_a_multistep_solver_is_planned_by_pairs(deviation: float) -> None:
    planned, known = costs(deviation, 12, dpm_solver_pp_multi)
    assert planned.pair is not None
    size = len(known.levels) - 1

    def price(path: Sequence[int]) -> float:
        way = [*path, size]
        total = planned.first[way[0]] + planned.single[way[0], way[1]]
        for h, i, j in zip(way, way[1:], way[2:], strict=False):
            total = total + planned.pair[h, i, j]  # type: ignore[index]
        return float(total)

    for moves in (1, 2, 3, 4):
        found = level_fitting.cheapest(planned, [moves])[moves]
        assert price(found) == pytest.approx(min(map(price, lists(size, moves))), rel=1e-12)


def test_jumps_of_one_call_ask_no_network() -> None:
    denoise, known = reference(0.5, 8)

    def refusing(x: torch.Tensor, sigma: torch.Tensor) -> Prediction:
        raise AssertionError("a call")

    refusing.schedule = denoise.schedule  # type: ignore[attr-defined]
    for step in (ddim, dpm_solver_pp_multi):
        level_fitting.costs(refusing, known, step, known.states[:-1], Silent())  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="a call"):
        level_fitting.costs(refusing, known, heun, known.states[:-1], Silent())  # type: ignore[arg-type]
    found = level_fitting.costs(denoise, known, heun, known.states[:-1], Silent())
    assert found is not None
    assert found.pair is None


@pytest.mark.parametrize("schedule", [linear(), cosine(), cosine(steps=10), vp()])
def test_a_grid_falls_to_0_and_holds_what_is_even_in_time(schedule: Any) -> None:
    grid = level_fitting.grid(schedule, 20)
    assert (grid.diff() < 0).all()
    assert grid[-1] == 0
    assert len(grid) <= 21
    even = trailing(schedule, count=10)
    assert float(grid[0]) == pytest.approx(float(even[0]))
    assert all(any(abs(t - s) <= 2e-3 * t for s in grid) for t in even[:-1])


def test_places_are_levels_of_a_grid_and_between_them() -> None:
    places = Places(torch.tensor([8.0, 4.0, 1.0, 0.0], dtype=torch.float64))
    assert places.levels([0, 0.5, 2]).tolist() == pytest.approx([8, 32**0.5, 1])
    assert places.of(torch.tensor([8.0, 32**0.5, 1.0, 0.0]).double()) == [0, 0.5, 2]
    assert places.are_apart([0, 0.5, 2])
    assert not places.are_apart([0, 0.05, 2])
    assert not places.are_apart([0, 3])


def descend(distance: Callable[[Sequence[float]], float | None], walks: int = 400) -> Any:
    return level_fitting.improved([0.0, 4.0, 8.0], distance, 20, walks)


def test_single_levels_are_moved_to_where_walks_end_nearest() -> None:
    asked: list[Sequence[float]] = []

    def distance(places: Sequence[float]) -> float:
        asked.append(places)
        return sum((a - b) ** 2 for a, b in zip(places, [1.5, 6.0, 18.25], strict=True)) + 1

    assert descend(distance) == ([1.5, 6.0, 18.25], 1.0)
    asked.clear()
    _, least = descend(distance, walks=7)
    assert len(asked) == 7
    assert least == min(map(distance, asked[:7]))
    assert descend(distance, walks=0) == ([0.0, 4.0, 8.0], distance([0.0, 4.0, 8.0]))
    assert descend(lambda places: None) is None


def test_a_walk_recalls_what_it_shares_with_the_one_before() -> None:
    denoise, _ = reference(0.5, 8)
    calls = 0

    def counted(x: torch.Tensor, sigma: torch.Tensor) -> Prediction:
        nonlocal calls
        calls += 1
        return denoise(x, sigma)

    counted.schedule = denoise.schedule  # type: ignore[attr-defined]
    recalled, levels = Recalled(), karras(linear(), count=6)

    def end(along: torch.Tensor) -> torch.Tensor:
        x = torch.ones(1, 1).double() * along[0]
        around: Any = recalled.around(counted)  # type: ignore[arg-type]
        around.schedule = denoise.schedule
        *_, last = walk(around, x, along, Rng([0]), predictor=dpm_solver_pp_multi)
        return last.x

    first = end(levels)
    recalled.keep()
    assert calls == 6
    assert torch.equal(end(levels), first)
    assert calls == 6
    moved = levels.clone()
    moved[3] *= 1.01
    ended = end(moved)
    assert calls == 9
    assert torch.equal(ended, *[end(moved)])
    assert not torch.equal(ended, first)


def test_fitted_levels_are_those_that_are_given() -> None:
    assert fitted(linear(), count=2, sigmas=[3.0, 0.5]).tolist() == [3.0, 0.5, 0.0]
    with pytest.raises(ValueError, match="ddpm fit MODEL"):
        fitted(linear())
    with pytest.raises(ValueError, match="count 3 asked for, but 2 sigmas"):
        fitted(linear(), count=3, sigmas=[3.0, 0.5])
