"""What is known of an image: y = A x + noise, and what can be said of any A with its adjoint."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.diffusion.steps import Constraint, Step

ROUNDS, TOLERANCE = 100, 1e-6  # of conjugate gradients where nothing else is said
LEAST = 1e-8  # of the largest A^T A: what is less counts as 0


class Operator(Protocol):
    """What was done to images x [B, ...]; is_linear: whether it is a linear map A."""

    @property
    def is_linear(self) -> bool:
        """Whether it is a linear map, whose `adjoint` is A^T."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one y."""

    @property
    def peak(self) -> float:
        """The largest eigenvalue of A^T A."""

    def __call__(self, x: Tensor) -> Tensor:
        """A x."""

    def adjoint(self, y: Tensor) -> Tensor:
        """A^T y."""

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """y - A x, but 0 where y was cut off."""


@runtime_checkable
class Spectral(Operator, Protocol):
    """A linear map A = U S V^T whose singular value decomposition is known."""

    def sizes(self, like: Tensor) -> Tensor:
        """The singular values S, without an axis for the batch or with one."""

    def into(self, x: Tensor) -> Tensor:
        """V^T x, as many numbers as there are singular values."""

    def out(self, c: Tensor) -> Tensor:
        """V c."""

    def seen(self, y: Tensor) -> Tensor:
        """U^T y."""


class Measured(NamedTuple):
    """What is known: y [B, ...] of A, and the standard deviation of the noise in it."""

    operator: Operator
    y: Tensor
    noise: float = 0.0

    def missing(self, x: Tensor) -> Tensor:
        """y - A x; with noise y is no bound, even where it is black or white."""
        y = self.y.to(x)
        return y - self.operator(x) if self.noise else self.operator.missing(x, y)

    def pulled(self, missing: Tensor, ridge: Tensor | float) -> Tensor:
        """A^T (A A^T + ridge I)^-1 of what is missing; see `solved`."""
        return solved(self.operator, missing, ridge)


class Method(NamedTuple):
    """How a walk is made one to images of which something is known.

    wrap: around its denoiser; predictor: the step down in place of its own, or around it;
    corrector: the step on a level that repeats; constrain: what is imposed on its states.
    is_mean: what `wrap` predicts is E[x0 given x, y], to which the wrappers of a walk apply, too.
    """

    wrap: Callable[[Denoise], Denoise] | None = None
    predictor: Callable[[Step], Step] | None = None
    corrector: Step | None = None
    constrain: Constraint | None = None
    is_mean: bool = False


def solved(operator: Operator, v: Tensor, ridge: Tensor | float) -> Tensor:
    """A^T (A A^T + ridge I)^-1 v, with a ridge for each row [B] or all; A^+ v at 0.

    By singular values s / (s^2 + ridge) where they are known, else by conjugate gradients.
    """
    if isinstance(operator, Spectral):
        sizes, level = operator.sizes(v), column(ridge, v)
        share = torch.where(sizes > 0, sizes / (sizes**2 + level).clamp(min=1e-300), 0.0)
        return operator.out(operator.seen(v) * share)
    if not operator.is_linear:  # A A^+ A = A, with the identity for A^+
        return v / (1 + column(ridge, v))
    level = column(ridge, v).clamp(min=LEAST * operator.peak)
    return operator.adjoint(
        conjugate(lambda p: operator(operator.adjoint(p)) + level * p, v, ROUNDS, TOLERANCE)
    )


def nearest(operator: Operator, x: Tensor, y: Tensor) -> Tensor:
    """The image nearest to x whose A x is what is known: x + A^+ (y - A x)."""
    return x + solved(operator, operator.missing(x, y), 0.0)


def error(operator: Operator, x: Tensor, y: Tensor) -> Tensor:
    """The largest difference [B] between A x and y, of what singular values let know."""
    missing = operator.missing(x, y)
    if operator.is_linear:
        missing = operator(solved(operator, missing, 0.0))  # A A^+: what is made by them at all
    return missing.abs().flatten(1).amax(1)


def conjugate(
    apply: Callable[[Tensor], Tensor], b: Tensor, rounds: int, tolerance: float
) -> Tensor:
    """The solution u [B, ...] of apply(u) = b by conjugate gradients (Hestenes and Stiefel 1952).

    A row stops by itself: where what is left is small beside b, or `apply` bends down, as no
    covariance does.
    """
    u, left, p = torch.zeros_like(b), b, b
    size = _dot(left, left)
    goal = tolerance**2 * size
    for _ in range(rounds):
        going = size > goal
        if not bool(going.any()):
            break
        q = apply(p)
        bend = _dot(p, q)
        going = column((going & (bend > 0)).to(b), b) > 0
        step = column(size / bend, b)
        u = torch.where(going, u + step * p, u)
        left = torch.where(going, left - step * q, left)
        last, size = size, _dot(left, left)
        p = torch.where(going, left + column(size / last, b) * p, p)
    return u


class Adjoint(NamedTuple):
    """<A x, y> and <x, A^T y> of random x and y, which are equal for an adjoint."""

    forward: float
    backward: float
    gap: float

    @classmethod
    def of(cls, operator: Operator, like: Tensor, seed: int = 0) -> "Adjoint":
        """The two sides for images like `like` [1, ...], and their difference over |A x| |y|."""
        x = Rng([seed], "adjoint").normal(like.double())
        y = Rng([seed], "adjoint of").normal(x.new_empty(1, *operator.shape))
        seen = operator(x)
        forward, backward = float((seen * y).sum()), float((x * operator.adjoint(y)).sum())
        scale = float(seen.norm() * y.norm())
        return cls(forward, backward, abs(forward - backward) / max(scale, 1e-300))


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The product [B] of each row with its own."""
    return (a * b).flatten(1).sum(1)
