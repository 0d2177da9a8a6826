"""The walk over noise levels: one loop for every sampler.

The list of levels says everything: a level down is the predictor, the same level again the
corrector, a level up adds noise.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.settings.knobs import Positive


class Move(NamedTuple):
    """One move of a walk, from the level t to the level s = levels[number + 1]."""

    t: Tensor
    s: Tensor
    number: int
    levels: Tensor


class Visited(NamedTuple):
    """Where the last denoising move started: state x, level t, predicted clean image x0."""

    x: Tensor
    t: Tensor
    x0: Tensor


class State(NamedTuple):
    """What a walk yields after each move: state x at level sigma, latest clean image x0."""

    x: Tensor
    sigma: Tensor
    x0: Tensor


class Draws(Protocol):
    """The source of noise of a walk; see `Rng`."""

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals like `like`."""


class Step(Protocol):
    """A move from level t to level s; `past` is the step's own memory of earlier moves."""

    def __call__(
        self, denoise: Denoise, x: Tensor, move: Move, rng: Draws, past: list[Visited]
    ) -> Tensor:
        """Return the state at level s."""


Constraint = Callable[[Tensor, Move, Visited, Draws], Tensor]


def start(denoise: Denoise, levels: Tensor, like: Tensor, rng: Draws) -> Tensor:
    """The process's own prior at the first level, shaped and typed like `like`."""
    return rng.normal(like) * float(denoise.schedule.prior(levels[0]))


def renoise(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    noise: Positive = 1.0,
) -> Tensor:
    """A level up adds the missing noise, noise times its standard deviation.

    x_s = x_t + noise * sqrt(s^2 - t^2) z: the forward process itself at noise 1; slightly more
    makes up for denoisers that remove too much (S_noise of Karras 2022, algorithm 2).
    """
    return x + noise * float((move.s**2 - move.t**2).sqrt()) * rng.normal(x)


class _Tape:
    """Passes calls to a denoiser on and remembers the first clean image of a move."""

    def __init__(self, denoise: Denoise) -> None:
        self.schedule = denoise.schedule
        self.first: Tensor | None = None
        self._denoise = denoise

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        prediction = self._denoise(x, sigma)
        if self.first is None:
            self.first = prediction.x0
        return prediction


@torch.no_grad()
def walk(
    denoise: Denoise,
    x: Tensor,
    levels: Tensor,
    rng: Draws,
    *,
    predictor: Step,
    corrector: Step | None = None,
    ascend: Step = renoise,
    constrain: Constraint | None = None,
) -> Iterator[State]:
    """Walk the state x [B, ...] along the levels [n + 1] and yield after each of the n moves.

    `constrain` is applied to the state from which a downward or corrector move starts, from the
    second move on, and once at level 0.  Consumers count, draw progress and stop.
    """
    past: list[Visited] = []
    before: Visited | None = None
    last: Step | None = None
    for number, (t, s) in enumerate(pairwise(levels)):
        move = Move(t, s, number, levels)
        step = predictor if s < t else ascend if s > t else corrector
        if step is None:
            raise ValueError(f"levels repeat at {float(t):g} but there is no corrector")
        if step is not last:
            past.clear()
        last = step
        if constrain and before and s <= t:
            x = constrain(x, move, before, rng)
        tape, began = _Tape(denoise), x
        x = step(tape, x, move, rng, past)
        # Not the state of the call: adaptive solvers ask for one image of the batch at a time.
        before = before if tape.first is None else Visited(began, t, tape.first)
        if s == 0 and constrain and before:
            x = constrain(x, Move(s, s, number + 1, levels), before, rng)
        yield State(x, s, before.x0 if before else x)
