"""The singlestep solver of the reverse SDE from k-diffusion, DPM-Solver++ (SDE)."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.exponential import ancestral, between
from ddpm_cli.diffusion.steps import Draws, Move, Visited
from ddpm_cli.settings.knobs import Eta, Share


def dpm_solver_pp_sde(
    denoise: Denoise,
    x: Tensor,
    move: Move,
    rng: Draws,
    past: list[Visited],
    *,
    eta: Eta = 1.0,
    ratio: Share = 0.5,
) -> Tensor:
    """DPM-Solver++ (SDE): an ancestral move to a middle level, then one by both predictions.

    y = the state at the share `ratio` of h = log(t / s), noise included; then ddim's move of x
    with x0 + (x0(y) - x0) / (2 ratio) for x0 (Crowson's k-diffusion, dpmpp_sde; two calls a move).
    """
    t, s = float(move.t), float(move.s)
    x0 = denoise(x, move.t).guided(t)
    if s == 0:
        return x0
    middle = between(t, s, ratio)
    y = _ancestral_move(x, x0, t, float(middle), eta, rng)
    later = denoise(y, middle).guided(float(middle))
    return _ancestral_move(x, torch.lerp(x0, later, 1 / (2 * ratio)), t, s, eta, rng)


def _ancestral_move(x: Tensor, x0: Tensor, t: float, s: float, eta: float, rng: Draws) -> Tensor:
    down, up = ancestral(t, s, eta)
    moved = torch.lerp(x0, x, down / t)
    return moved.add_(rng.normal(x), alpha=up) if up else moved
