"""Guidance by a part of the difference of both predictions, or away from a scaled one."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Prediction
from ddpm_cli.diffusion.guidance import At
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.settings.knobs import Eta, LevelIndex, Positive, SignedShare

LEAST = 1e-8  # of what is divided by, as in the authors' code


def apg(
    told: Tensor,
    other: Tensor,
    at: At,
    *,
    eta: Eta = 0.0,
    limit: Positive | None = None,
    momentum: SignedShare = -0.5,
) -> Prediction:
    """Adaptive projected guidance: strong without saturation, each image by itself, in x0.

    x0 = c + (scale - 1) (d_orthogonal + eta d_parallel), parts of d by the direction of c, where
    d = c - u, plus momentum times that of the move before, made no longer than limit (Sadat 2024,
    algorithm 1). The parallel part is contrast and saturation.  eta 1, momentum 0 and no limit are
    cfg, to the bit.
    """
    d = contrast = told - other
    if momentum:
        if at.memory.total is not None:
            d = d + momentum * at.memory.total
        at.memory.leave(d.detach())
    if limit is not None:
        length = d.flatten(1).norm(dim=1)
        d = d * column((limit / length.clamp(min=LEAST)).clamp(max=1), d)
    if eta != 1:
        size = _dot(told, told).clamp(min=LEAST)
        d = d - (1 - eta) * column(_dot(d, told) / size, told) * told
    x0 = other + at.weight * contrast
    return Prediction(x0 if d is contrast else x0 + (at.weight - 1) * (d - contrast))


def cfg_zero(told: Tensor, other: Tensor, at: At, *, zero_moves: LevelIndex = 1) -> Prediction:
    """CFG-Zero*: away from the null prediction made as long as fits, for flows above all.

    v = s v_u + scale (v_c - s v_u) with s = <v_c, v_u> / |v_u|^2 of each image (Fan 2025, eq. 9
    and 10), v = eps - x0 being the velocity of a flow, whatever the network predicts.
    zero_moves: in so many of the first moves of a walk v is 0.
    """
    if 0 <= at.memory.number < zero_moves:
        return Prediction(_from_velocity(told.new_zeros(()), at))
    v, free = _velocity(told, at), _velocity(other, at)
    free = column(_dot(v, free) / (_dot(free, free) + LEAST), free) * free
    return Prediction(_from_velocity(free + at.weight * (v - free), at))


def _velocity(x0: Tensor, at: At) -> Tensor:
    """The v = eps - x0 of a flow, with eps = (x - x0) / sigma."""
    return (at.x - x0) / column(at.sigma, x0) - x0


def _from_velocity(v: Tensor, at: At) -> Tensor:
    """The clean image of a flow's velocity: x0 = (x - sigma v) / (1 + sigma)."""
    sigma = column(at.sigma, at.x)
    return (at.x - sigma * v) / (1 + sigma)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product [B] of the rows of a and b [B, ...]."""
    return (a * b).flatten(1).sum(1)
