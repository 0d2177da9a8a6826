"""The walk: which step makes which move, what it remembers and when constraints act."""

from collections.abc import Callable

import pytest
import torch
from exact import Fresh, Recorded, by_sigma, gaussian
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.renoise import renoise
from ddpm_cli.diffusion.samplers import ddim, heun
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited
from ddpm_cli.diffusion.walk import start, walk

DENOISE = by_sigma(gaussian(0.0, 1.0), linear())


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Log:
    """Steps and constraints that write down how they were called."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.sizes: list[int] = []

    def step(self, name: str, network: bool = True) -> Step:
        def call(
            denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
        ) -> Tensor:
            self.calls.append((name, float(move.t), float(move.s)))
            self.sizes.append(len(past))
            if network:
                past.append(Visited(x, move.t, denoise(x, move.t).x0))
            return x + 1

        return call

    def constrain(self, x: Tensor, move: Move, before: Visited, rng: Draws) -> Tensor:
        self.calls.append(("constrain", float(move.t), float(move.s), float(before.t)))
        return x + 100

    def walk(self, *levels: float, **steps: Step | Callable[..., Tensor]) -> list[Tensor]:
        states = walk(DENOISE, tensor(0.0)[:, None], tensor(*levels), Fresh(), **steps)
        return [state.x for state in states]


def test_direction_chooses_the_step() -> None:
    log = Log()
    steps = {name: log.step(name) for name in ("predictor", "corrector", "ascend")}
    log.walk(3, 2, 2, 4, 1, 0, **steps)
    assert log.calls == [
        ("predictor", 3, 2),
        ("corrector", 2, 2),
        ("ascend", 2, 4),
        ("predictor", 4, 1),
        ("predictor", 1, 0),
    ]


def test_past_is_cleared_when_the_direction_changes() -> None:
    log = Log()
    steps = {name: log.step(name) for name in ("predictor", "corrector", "ascend")}
    log.walk(5, 4, 3, 3, 3, 2, 1, 4, 3, 0, **steps)
    assert log.sizes == [0, 1, 0, 1, 0, 1, 0, 0, 1]


def test_repeated_level_needs_a_corrector() -> None:
    with pytest.raises(ValueError, match="repeat at 2 but there is no corrector"):
        Log().walk(3, 2, 2, 0, predictor=heun)


def test_constraint_acts_from_the_second_move_on_and_at_level_0() -> None:
    """It precedes moves down and corrections, not moves up."""
    log = Log()
    steps = {name: log.step(name) for name in ("predictor", "corrector", "ascend")}
    states = log.walk(3, 2, 2, 4, 1, 0, constrain=log.constrain, **steps)
    assert log.calls == [
        ("predictor", 3, 2),
        ("constrain", 2, 2, 3),
        ("corrector", 2, 2),
        ("ascend", 2, 4),
        ("constrain", 4, 1, 2),
        ("predictor", 4, 1),
        ("constrain", 1, 0, 4),
        ("predictor", 1, 0),
        ("constrain", 0, 0, 1),
    ]
    assert [float(x) for x in states] == [1, 102, 103, 204, 405]


def test_constraint_is_not_called_at_level_0_of_a_walk_that_ends_above() -> None:
    log = Log()
    log.walk(3, 2, 1, predictor=log.step("predictor"), constrain=log.constrain)
    assert [call[:3] for call in log.calls] == [
        ("predictor", 3, 2),
        ("constrain", 2, 1),
        ("predictor", 2, 1),
    ]


def test_constraint_after_a_move_up_sees_the_last_denoising_move() -> None:
    log = Log()
    log.walk(3, 1, 2, 0, predictor=log.step("predictor"), constrain=log.constrain)
    assert ("constrain", 2, 0, 3) in log.calls


def test_constraint_sees_where_a_move_started_whatever_the_step_asked() -> None:
    """A step may ask for one image of the batch at a time, at levels of its own."""

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        for row in x.split(1):
            denoise(row + 5, move.t / 2)
        return x + 1

    seen: list[Visited] = []

    def constrain(x: Tensor, move: Move, before: Visited, rng: Draws) -> Tensor:
        seen.append(before)
        return x

    x = tensor(0.5, -0.5)[:, None]
    list(walk(DENOISE, x, tensor(3, 1), Fresh(), predictor=step, constrain=constrain))
    assert not seen
    list(walk(DENOISE, x, tensor(3, 2, 0), Fresh(), predictor=step, constrain=constrain))
    assert [float(before.t) for before in seen] == [3, 2]
    assert torch.equal(seen[0].x, x)
    assert torch.equal(seen[1].x, x + 1)


def test_moves_carry_their_number_and_the_whole_list() -> None:
    seen: list[Move] = []

    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        seen.append(move)
        return x

    levels = tensor(3, 2, 0)
    list(walk(DENOISE, tensor(0.0)[:, None], levels, Fresh(), predictor=step))
    assert [move.number for move in seen] == [0, 1]
    assert all(move.s == move.levels[move.number + 1] for move in seen)
    assert all(torch.equal(move.levels, levels) for move in seen)


def test_state_holds_the_first_prediction_of_its_move() -> None:
    """Heun calls twice: the clean image of the state where it started is reported."""
    x = tensor(0.7, -1.2)[:, None]
    before = x
    for state in walk(DENOISE, x, tensor(4, 2, 1, 0), Fresh(), predictor=heun):
        level = {2: 4, 1: 2, 0: 1}[int(state.sigma)]
        assert torch.equal(state.x0, DENOISE(before, torch.tensor(level)).x0)
        before = state.x
    assert torch.allclose(before, state.x0, rtol=1e-12), "level 0 is the clean image"


def test_walk_is_lazy_and_can_be_stopped() -> None:
    log = Log()
    states = walk(
        DENOISE, tensor(0.0)[:, None], tensor(3, 2, 1, 0), Fresh(), predictor=log.step("down")
    )
    assert not log.calls
    next(states)
    assert len(log.calls) == 1


def test_walk_builds_no_graph_but_lets_a_step_ask_for_gradients() -> None:
    def step(denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]) -> Tensor:
        assert not torch.is_grad_enabled()
        with torch.enable_grad():
            inner = x.detach().requires_grad_()
            return torch.autograd.grad(denoise(inner, move.t).x0.sum(), inner)[0]

    x = tensor(1.0)[:, None].requires_grad_()
    (state,) = walk(DENOISE, x, tensor(2, 0), Fresh(), predictor=step)
    assert float(state.x) == pytest.approx(1 / (1 + 2**2)), "x0 = x / (1 + sigma^2)"
    assert not state.x.requires_grad


def test_start_is_the_prior_of_the_first_level() -> None:
    unit = tensor(1.0, -2.0)[:, None]
    got = start(DENOISE, tensor(3, 0), unit, Recorded([unit]))
    assert torch.allclose(got, unit * 10**0.5)


def test_a_level_up_adds_the_missing_noise() -> None:
    z = tensor(1.0, -1.0)[:, None]
    levels = tensor(3, 5)
    (state,) = walk(DENOISE, z, levels, Recorded([z]), predictor=ddim)
    assert torch.allclose(state.x, z + 4 * z)
    assert torch.allclose(renoise(DENOISE, z, Move(*levels, 0, levels), Recorded([z]), []), 5 * z)
