"""The walk over noise levels: one loop for every sampler.

The list of levels says everything: a level down is the predictor, the same level again the
corrector, a level up adds noise.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, memories
from ddpm_cli.diffusion.renoise import renoise
from ddpm_cli.diffusion.shapes import double
from ddpm_cli.diffusion.steps import Constraint, Draws, Move, Select, State, Step, Visited


def start(denoise: Denoise, levels: Tensor, like: Tensor, rng: Draws) -> Tensor:
    """The process's own prior at the first level, shaped and typed like `like`."""
    return rng.normal(like) * float(denoise.schedule.prior(levels[0]))


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
    select: Select | None = None,
) -> Iterator[State]:
    """Walk the state x [B, ...] along the levels [n + 1] and yield after each of the n moves.

    `constrain` is applied to the state from which a downward or corrector move starts, from the
    second move on, and once at level 0.  `select` says after each move with which rows of the
    batch the walk goes on, where some end and others come twice.  Consumers count, draw progress
    and stop.  Levels stay on the host, where moves make numbers of them: the device is never
    waited for.

    Noise is drawn from rng in this order, each time `normal` in the shape of x: `start` draws
    first; then each move what its constraint draws, and what its step draws once it has called
    the network.  A constraint draws once, but not at level 0.  A step that adds noise draws
    once, dpm-solver-pp-sde twice, and no step to level 0 draws.
    """
    levels = double(levels)
    past: list[Visited] = []
    before: Visited | None = None
    last: Step | None = None
    for number, (t, s) in enumerate(pairwise(levels)):
        move = Move(t, s, number, levels)
        step = predictor if s < t else ascend if s > t else corrector
        if step is None:
            raise ValueError(f"levels repeat at {float(t):g} but there is no corrector")
        for memory in memories(denoise):
            memory.begin(number, is_new=step is not last)
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
        state = State(x, s, before.x0 if before else x)
        rows = select(state) if select else None
        if rows is not None:
            x, before = x[rows], before and before.at(rows)
            past[:] = [visited.at(rows) for visited in past]
            for memory in memories(denoise):
                memory.go_on(rows)
            state = State(x, s, before.x0 if before else x)
        yield state
