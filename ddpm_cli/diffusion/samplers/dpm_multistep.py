"""Multistep DPM-Solver and DPM-Solver++ (Lu 2022, 2022b), their ODE and SDE forms.

Earlier predictions stand in for derivatives, so that every move costs one network call.
"""

import math
from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.exponential import EPS, X0, Target, orders_left, phi
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Eta, LevelIndex, Order

Solver = Literal["midpoint", "taylor"]
Third = Literal["taylor", "released"]


def dpm_solver_multi(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    order: Order = 2,
    solver: Solver = "midpoint",
    third: Third = "taylor",
    eta: Eta = 0.0,
    lower_order_final: LevelIndex = 15,
) -> Tensor:
    """Multistep DPM-Solver, which expands eps; eta 1 is SDE-DPM-Solver.

    x_s = x - s (phi_1 eps + phi_2 eps' + phi_3 eps'') with phi of h = log(t / s); the midpoint
    solver of order 2 takes phi_1 / 2 for phi_2 (Lu 2022, section 3).  `third` and
    `lower_order_final` are those of dpm-solver-pp-multi.
    """
    knobs = (order, solver, third, eta, lower_order_final)
    return _multistep(EPS, denoise, x, move, rng, past, *knobs)


def dpm_solver_pp_multi(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    order: Order = 2,
    solver: Solver = "midpoint",
    third: Third = "taylor",
    eta: Eta = 0.0,
    lower_order_final: LevelIndex = 15,
) -> Tensor:
    """Multistep DPM-Solver++, which expands x0: 2M, 3M, and with eta 1 their SDE forms.

    x_s = s/t x - (phi_1 x0 + phi_2 x0' + phi_3 x0'') with phi of -h (Lu 2022b, algorithm 2);
    eta > 0: phi of -(1 + eta) h, and s sqrt(1 - e^(-2 eta h)) z added (Lu 2022b, section 5).
    third: released halves x0'' at order 3, as the authors' and k-diffusion's code do; the order
    is then 2.  lower_order_final: walks of fewer moves end on orders 2 and 1 (0: none do).
    """
    knobs = (order, solver, third, eta, lower_order_final)
    return _multistep(X0, denoise, x, move, rng, past, *knobs)


def _multistep(
    target: Target,
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    order: int,
    solver: Solver,
    third: Third,
    eta: float,
    lower_order_final: int,
) -> Tensor:
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    if s == 0:
        return x0
    past.append(Visited(x, move.t, x0))
    del past[:-order]
    order = min(len(past), orders_left(move, lower_order_final))
    integrator = target.integrator(t, s, eta)
    visited = past[: -order - 1 : -1]
    x = integrator.land(x, *_expansion(target, visited, s, phi(integrator.z), solver, third))
    return x.add_(rng.normal(x), alpha=integrator.noise) if eta else x


def _expansion(
    target: Target,
    visited: list[Visited],
    s: float,
    phi: list[float],
    solver: Solver,
    third: Third,
) -> list[tuple[float, Tensor]]:
    """Weights and divided differences of the predictions visited, the newest first."""
    values = [target.of(one) for one in visited]
    levels = [float(one.t) for one in visited]
    terms = [(phi[0], values[0])]
    if len(values) == 1:
        return terms
    h = math.log(levels[0] / s)
    r0 = math.log(levels[1] / levels[0]) / h
    first = (values[0] - values[1]) / r0
    if len(values) == 2:
        return [*terms, (phi[0] / 2 if solver == "midpoint" else phi[1], first)]
    r1 = math.log(levels[2] / levels[1]) / h
    second = (first - (values[1] - values[2]) / r1) / (r0 + r1)
    # The first derivative is first + r0 * second, the second one is 2 * second.
    half = 1 if third == "released" else 2
    return [*terms, (phi[1], first), (r0 * phi[1] + half * phi[2], second)]
