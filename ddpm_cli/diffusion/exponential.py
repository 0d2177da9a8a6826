"""Exponential integrators: the exact linear part of a move, shared by DPM-Solver and UniPC.

With lambda = -log sigma, a move from t to s solves the linear part of the reverse equation
exactly and expands the network's prediction, eps or x0, in lambda (Lu 2022, proposition 3.1).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.steps import Move, Visited, ladder

HIGHEST = 3  # order of a solver here


class Integrator(NamedTuple):
    """x_s = keep * x - scale * sum of (weight * term) + noise * z, weights from phi(z)."""

    z: float
    keep: float
    scale: float
    noise: float

    def land(self, x: Tensor, *terms: tuple[float, Tensor]) -> Tensor:
        """The state at the level s, noise not yet added."""
        moved = x * self.keep
        for weight, term in terms:
            moved.add_(term, alpha=-self.scale * weight)
        return moved


class Target(NamedTuple):
    """What a solver expands.

    value: (x, x0, t) -> the expanded quantity; integrator: (t, s, eta) -> Integrator, where
    eta is the rate of the noise: 0 the probability-flow ODE, 1 the reverse SDE.
    """

    value: Callable[[Tensor, Tensor, float], Tensor]
    integrator: Callable[[float, float, float], Integrator]

    def of(self, visited: Visited) -> Tensor:
        """The expanded quantity where a move started."""
        return self.value(visited.x, visited.x0, float(visited.t))


def _eps(t: float, s: float, eta: float) -> Integrator:
    """x_s = x - (1 + eta) s sum_k (...) + sqrt(eta (t^2 - s^2)) z (Lu 2022b, section 5)."""
    return Integrator(math.log(t / s), 1, (1 + eta) * s, math.sqrt(eta * (t**2 - s**2)))


def _x0(t: float, s: float, eta: float) -> Integrator:
    """x_s = e^z x - sum_k (...) + s sqrt(1 - e^(-2 eta h)) z, z = -(1 + eta) h.

    h = log(t / s) (Lu 2022b, section 5).
    """
    h = math.log(t / s)
    z = -(1 + eta) * h
    return Integrator(z, math.exp(z), 1, s * math.sqrt(-math.expm1(-2 * eta * h)))


EPS = Target(lambda x, x0, t: (x - x0) / t, _eps)
X0 = Target(lambda x, x0, t: x0, _x0)


def phi(z: float) -> list[float]:
    """Weights of the prediction and of its first three derivatives in the scaled lambda.

    phi_1 = e^z - 1, phi_(k+1) = phi_k / z - 1 / k!; derivatives count in units of the move's h.
    """
    weights = [math.expm1(z)]
    for k in (1, 2, 3):
        weights.append(weights[-1] / z - 1 / math.factorial(k))
    return weights


def between(t: float, s: float, share: float) -> Tensor:
    """The level at a share of the way from t to s in lambda, shaped []."""
    return torch.tensor(t ** (1 - share) * s**share, dtype=torch.float64)


def orders_left(move: Move, below: int) -> int:
    """The highest order worth its while: walks of fewer than `below` steps end on low ones.

    Moves that edits add do not count as steps.
    """
    if move.left is None or move.levels is None:
        return HIGHEST
    downward = move.levels if move.s < move.t else move.levels.flip(0)  # the way of `encode`
    steps = len(ladder(downward)) - 1
    return move.left + 1 if steps < below else HIGHEST


def ancestral(t: float, s: float, eta: float) -> tuple[float, float]:
    """Split the level s into what a move from t leaves and the noise that is added afresh.

    up = eta s sqrt(1 - s^2 / t^2), down = sqrt(s^2 - up^2) (Song 2021, eq. 16); nothing is added
    on the way from data to noise.
    """
    if s > t:
        return s, 0.0
    kept = 1 - eta**2 + (eta * s / t) ** 2
    if kept <= 0:
        raise ValueError(f"eta {eta:g} asks for more noise than a level holds; 1 never does")
    return s * math.sqrt(kept), eta * s * math.sqrt(1 - (s / t) ** 2)
