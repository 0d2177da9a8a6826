"""An average of any length from snapshots of others, after training (Karras 2024, EDM2)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.training.curves import exponent

NOISE = 1e-12  # of the largest share: what is less is rounding


class Profile(NamedTuple):
    """How much each step counts in a power-function average of this length, made at a step.

    p(tau) = (gamma + 1) tau^gamma / step^(gamma + 1) up to the step, and 0 behind it (eq. 121).
    """

    length: float
    step: int


class Solution(NamedTuple):
    """What each snapshot counts, and how far the sum of their profiles is from the wanted one.

    error: the norm of the difference as a share of the norm of the wanted profile.
    """

    shares: list[float]
    error: float


def solved(snapshots: Sequence[Profile], wanted: Profile) -> Solution:
    """The sum of snapshots' profiles that comes nearest to a profile, by least squares.

    A X = B, A = <p_i, p_j>, B = <p_i, p>, and then the sum of X becomes 1 (eq. 124 to 127). Rows
    and columns are divided by the norms of the profiles, which differ by how long they are.
    """
    grams = _products([*snapshots, wanted])
    scale = grams.diagonal().rsqrt()
    grams = grams * scale * scale[:, None]
    inner, right = grams[:-1, :-1], grams[:-1, -1]
    found = torch.linalg.solve(inner, right) * scale[:-1]
    found[found.abs() < NOISE * found.abs().max()] = 0.0
    shares = found / found.sum()
    mixed = torch.cat([shares / scale[:-1], -1 / scale[-1:]]) * scale[-1]
    square = float(mixed @ grams @ mixed)
    return Solution(shares.tolist(), max(square, 0.0) ** 0.5)


def _products(profiles: Sequence[Profile]) -> Tensor:
    """The inner products of all pairs of profiles [n, n], in float64 (eq. 151).

    (ga + 1) (gb + 1) (ta / tb)^(gb if ta < tb else -ga) / ((ga + gb + 1) max(ta, tb)), with time
    in units of the last step.
    """
    last = max(profile.step for profile in profiles)
    time = torch.tensor([profile.step / last for profile in profiles], dtype=torch.float64)
    gamma = torch.tensor([exponent(p.length) for p in profiles], dtype=torch.float64)
    ga, gb, ta, tb = gamma[:, None], gamma[None], time[:, None], time[None]
    power = torch.where(ta < tb, gb, -ga)
    return (ga + 1) * (gb + 1) * (ta / tb) ** power / ((ga + gb + 1) * torch.maximum(ta, tb))
