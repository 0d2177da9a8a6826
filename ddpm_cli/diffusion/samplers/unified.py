"""UniPC: a predictor and a corrector that share their network calls (Zhao 2023)."""

import math
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.exponential import EPS, X0, Target, orders_left, phi
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import LevelIndex, Order

Scale = Literal["h", "expm1"]


def unipc(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    order: Order = 2,
    scale: Scale = "expm1",
    expands: Literal["x0", "eps"] = "x0",
    lower_order_final: LevelIndex = 15,
) -> Tensor:
    """UniPC: multistep predictor, corrected one call later when the new prediction is known.

    x_s = DPM-Solver-1's x_s - B(h) sum_m rho_m D_m, D_m = (x0_m - x0) / r_m; the corrector adds
    the prediction at s itself as r = 1 (Zhao 2023, algorithms 1 and 2).  scale: B(h) = h (bh1) or
    e^h - 1 (bh2), which matters to the predictor of order 2 and the corrector of order 1.
    lower_order_final: walks of fewer moves end on orders 2 and 1 (0: none do).
    """
    target = X0 if expands == "x0" else EPS
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    if s == 0:
        return x0
    here = Visited(x, move.t, x0)
    if past:
        before = move._replace(number=move.number - 1)
        used = min(len(past), orders_left(before, lower_order_final))
        x = _corrected(target, x, past[: -used - 1 : -1], here, scale)
    past.append(here)
    del past[:-order]
    used = min(len(past), orders_left(move, lower_order_final))
    return _predicted(target, x, past[: -used - 1 : -1], s, scale)


def _predicted(
    target: Target, x: Tensor, visited: list[Visited], s: float, scale: Scale
) -> Tensor:
    """The state at s from the predictions visited, the newest first."""
    integrator = target.integrator(float(visited[0].t), s, 0)
    shares = [_share(one, visited[0], s) for one in visited[1:]]
    weights = _weights(integrator.z, shares, scale)
    differences = _differences(target, visited[0], visited[1:], shares)
    value = target.of(visited[0])
    first = (phi(integrator.z)[0], value)
    return integrator.land(x, first, *zip(weights, differences, strict=True))


def _corrected(
    target: Target, x: Tensor, visited: list[Visited], here: Visited, scale: Scale
) -> Tensor:
    """The state x, predicted from `visited`, when the prediction `here` at x is known as well.

    Only the difference of the two expansions is added, so that pasted pixels stay in x.
    """
    s = float(here.t)
    integrator = target.integrator(float(visited[0].t), s, 0)
    shares = [_share(one, visited[0], s) for one in visited[1:]]
    used = [*_weights(integrator.z, shares, scale), 0.0]
    shares.append(1.0)
    better = _weights(integrator.z, shares, scale)
    changes = [new - old for new, old in zip(better, used, strict=True)]
    differences = _differences(target, visited[0], [*visited[1:], here], shares)
    return integrator._replace(keep=1).land(x, *zip(changes, differences, strict=True))


def _share(one: Visited, start: Visited, s: float) -> float:
    """Where in lambda a visited level lies: 0 at the start of the move, 1 at its end s."""
    t = float(start.t)
    return math.log(t / float(one.t)) / math.log(t / s)


def _differences(
    target: Target, start: Visited, others: list[Visited], shares: list[float]
) -> list[Tensor]:
    """D_m = (prediction_m - prediction) / r_m."""
    value = target.of(start)
    return [(target.of(one) - value) / r for one, r in zip(others, shares, strict=True)]


def _weights(z: float, shares: list[float], scale: Scale) -> list[float]:
    """B rho, the solution of sum_m rho_m r_m^(k-1) = k! phi_(k+1) / B (Zhao 2023, theorem 3.1).

    One weight alone is B / 2, whatever r; B cancels from more.
    """
    if len(shares) == 1:
        return [(z if scale == "h" else math.expm1(z)) / 2]
    powers = torch.tensor(shares, dtype=torch.float64) ** torch.arange(len(shares))[:, None]
    moments = [math.factorial(k) * value for k, value in enumerate(phi(z)) if k]
    right = torch.tensor(moments[: len(shares)], dtype=torch.float64)
    solved: list[float] = torch.linalg.solve(powers, right).tolist()
    return solved
