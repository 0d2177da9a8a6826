"""What a walk is made of: moves between noise levels, and what is known on the way."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise


class Move(NamedTuple):
    """One move of a walk, from the level t to the level s = levels[number + 1].

    `Move.of(2.0, 1.0)` is a move by itself, which has no list of levels and is enough for every
    step.  A few look at the list if there is one: multistep solvers end short walks on low
    orders, ddpm guides a last move with large or learned variance by the posterior's of the move
    before, and the corrector ncsn measures its step at the lowest level.  By itself a move is of
    the order that `past` allows, has beta for that variance and is at its own lowest level.  Only
    clip_pixels, which counts moves from the end, asks for the list.
    """

    t: Tensor
    s: Tensor
    number: int = 0
    levels: Tensor | None = None

    @classmethod
    def of(cls, t: Tensor | float, s: Tensor | float) -> "Move":
        """A move by itself, between two numbers or tensors []."""
        return cls(*torch.as_tensor([t, s], dtype=torch.float64))

    @property
    def left(self) -> int | None:
        """How many moves of its kind (down, up) come after this one; None of a move by itself."""
        if self.levels is None:
            return None
        kind = (self.s - self.t).sign()
        return int((self.levels[self.number + 1 :].diff().sign() == kind).sum())


def ladder(levels: Tensor) -> Tensor:
    """The levels that a walk starts from or comes down to, descending and once each.

    They are those of the list before its edits: what jumps and repeats visit again counts once,
    and what churn raises is reached from below alone.
    """
    is_own = torch.cat([levels.new_ones(1), -levels.diff()]) > 0
    once: Tensor = torch.unique_consecutive(levels[is_own].sort(descending=True).values)
    return once


class Visited(NamedTuple):
    """Where the last denoising move started: state x, level t, predicted clean image x0."""

    x: Tensor
    t: Tensor
    x0: Tensor

    def at(self, rows: Tensor) -> "Visited":
        """The same of these rows of the batch."""
        return Visited(self.x[rows], self.t, self.x0[rows])


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
# The rows of a batch to go on with after a move, None if with all as they are.
Select = Callable[[State], Tensor | None]
