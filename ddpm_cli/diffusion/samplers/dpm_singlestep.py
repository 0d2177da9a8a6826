"""Singlestep DPM-Solver and DPM-Solver++ (Lu 2022, 2022b): `order` network calls a move."""

from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.exponential import EPS, X0, Target, ancestral, between, phi
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Eta, Order, Share

Solver = Literal["midpoint", "taylor"]


def dpm_solver_single(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    order: Order = 3,
    solver: Solver = "midpoint",
    inner: Solver = "taylor",
    r1: Share | None = None,
    r2: Share | None = None,
) -> Tensor:
    """Singlestep DPM-Solver-1, 2 and 3, which expand eps.

    x_s = x - s (phi_1 eps + phi_2 eps' + ...) with phi of h = log(t / s) and eps' from the levels
    at the shares r1 (and r2) of h (Lu 2022, algorithms 1 and 2).  Knobs as in
    dpm-solver-pp-single.
    """
    t = float(move.t)
    x0 = denoise(x, move.t).guided(t)
    if move.s == 0:
        return x0
    return _singlestep(EPS, denoise, x, x0, t, float(move.s), order, solver, inner, r1, r2)


def dpm_solver_pp_single(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    order: Order = 2,
    solver: Solver = "midpoint",
    inner: Solver = "taylor",
    r1: Share | None = None,
    r2: Share | None = None,
    eta: Eta = 0.0,
) -> Tensor:
    """Singlestep DPM-Solver++, which expands x0: 2S, 3S, and with eta 1 their ancestral forms.

    x_s = s/t x - (phi_1 x0 + phi_2 x0' + ...) with phi of -h (Lu 2022b, algorithm 1).
    r1 and r2 are shares of h: 1/2 at order 2, 1/3 and 2/3 at order 3 unless given.  solver: phi_2
    is phi_1 / 2 at order 2, or x0' comes from the last stage alone at order 3, if midpoint.
    inner: the same choice for the second stage of order 3.  eta: ddim's share of fresh noise.
    """
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    if s == 0:
        return x0
    down, up = ancestral(t, s, eta)
    x = _singlestep(X0, denoise, x, x0, t, down, order, solver, inner, r1, r2)
    return x.add_(rng.normal(x), alpha=up) if up else x


def _singlestep(
    target: Target,
    denoise: Denoise,
    x: Tensor,
    x0: Tensor,
    t: float,
    s: float,
    order: int,
    solver: Solver,
    inner: Solver,
    r1: float | None,
    r2: float | None,
) -> Tensor:
    """Move from t to s; `first` and `last` are differences divided by their shares of h."""
    r1, r2 = r1 or (1 / 2 if order == 2 else 1 / 3), r2 or 2 / 3
    value = target.value(x, x0, t)
    if order == 1:
        return _stage(target, x, t, s, value)
    middle = between(t, s, r1)
    u = _stage(target, x, t, float(middle), value)
    first = (_value(target, denoise, u, middle) - value) / r1
    if order == 2:
        return _stage(target, x, t, s, value, first, solver)
    if r1 >= r2:
        raise ValueError(f"r1 {r1:g} must be below r2 {r2:g}")
    later = between(t, s, r2)
    u = _stage(target, x, t, float(later), value, first * r2, inner)
    last = (_value(target, denoise, u, later) - value) / r2
    if solver == "midpoint":
        return _stage(target, x, t, s, value, last, "taylor")
    second = (last - first) / (r2 - r1)
    return _stage(target, x, t, s, value, first - r1 * second, "taylor", 2 * second)


def _value(target: Target, denoise: Denoise, u: Tensor, level: Tensor) -> Tensor:
    return target.value(u, denoise(u, level).guided(float(level)), float(level))


def _stage(
    target: Target,
    x: Tensor,
    t: float,
    s: float,
    value: Tensor,
    slope: Tensor | None = None,
    solver: Solver = "taylor",
    curvature: Tensor | None = None,
) -> Tensor:
    """A move from t to s by the value at t and its derivatives, in units of the move's h."""
    integrator = target.integrator(t, s, 0)
    weights = phi(integrator.z)
    terms = [(weights[0], value)]
    if slope is not None:
        terms.append((weights[0] / 2 if solver == "midpoint" else weights[1], slope))
    if curvature is not None:
        terms.append((weights[2], curvature))
    return integrator.land(x, *terms)
