"""What a walk is made of: moves between noise levels, and what is known on the way."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise


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
