"""Edits of a list of noise levels: (levels, *, knobs) -> levels, applied in the order given.

A level up is a move that adds noise, the same level again a move of the corrector.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ddpm_cli.diffusion.steps import ladder
from ddpm_cli.settings.knobs import Counts, LevelIndex, NonNegative, Positive, Ratio, Times

MOVES_LIMIT = 200_000  # of a walk
LENGTHS = (10,)
VISITS = (10,)


def churn(
    levels: Tensor, *, amount: NonNegative = 40.0, low: NonNegative = 0.05, high: Positive = 50.0
) -> Tensor:
    """Raise the noise a little before each move that starts between low and high.

    A move down from t starts at t (1 + gamma) with gamma = min(amount / n, sqrt(2) - 1): S_churn,
    S_min and S_max of Karras 2022, algorithm 2.  n is the number of steps of the sampler, as it
    was before other edits.  S_noise is renoise.noise.
    """
    steps = max(len(ladder(levels)) - 1, 1)  # a reversed list has no move down to churn
    gamma = min(amount / steps, math.sqrt(2) - 1)
    churned = [levels[0]]
    for t, s in pairwise(levels):
        if gamma > 0 and s < t and low <= t <= high:
            churned.append(t * (1 + gamma))
        churned.append(s)
    return torch.stack(churned)


def shift(levels: Tensor, *, by: Ratio = 3.0) -> Tensor:
    """Levels that are so many times as high, up to the highest of the list (Esser 2024, eq. 23).

    sigma' = by * sigma, of flows t' = by t / (1 + (by - 1) t); by = sqrt(m / n) for images of m
    pixels by a model of n. The highest stays, and those that would pass it are left out.
    """
    if not bool((levels.diff() < 0).all()):
        raise ValueError("the list already climbs or repeats; put shift before other edits")
    higher = by * levels[1:]
    return torch.cat([levels[:1], higher[higher < levels[0]]])


def jumps(
    levels: Tensor,
    *,
    lengths: Counts = LENGTHS,
    visits: Counts = VISITS,
    again: Times = 1,
    lowest: LevelIndex | None = None,
) -> Tensor:
    """Go back up and down again, so that what was pasted in can blend with what is drawn.

    Every lengths[i] levels the walk climbs that many levels back, until it has come by visits[i]
    times (Lugmayr 2022, appendix B: jump length and number of resamplings).  Several lengths, in
    rising order, nest: a jump renews the shorter ones.  `again` makes each single move that many
    times.  `lowest` restricts all this to so many levels of the list's end.
    """
    if len(lengths) != len(visits):
        raise ValueError(f"{len(lengths)} lengths but {len(visits)} visits; give one of each")
    if not bool((levels.diff() < 0).all()):
        raise ValueError("the list already climbs or repeats; put jumps before other edits")
    steps = len(levels) - 1
    if sorted(lengths) != list(lengths):
        raise ValueError("lengths must rise: a longer jump renews the shorter ones")
    if lengths and min(lengths) >= steps:
        raise ValueError(_too_long(min(lengths), steps, visits[0]))
    jumps_at = [
        dict.fromkeys(range(0, steps - length, length), count - 1)
        for length, count in zip(lengths, visits, strict=True)
    ]
    path = _path(steps, lengths, jumps_at, again, steps if lowest is None else lowest)
    return levels[[steps - 1 - place for place in path]]


def _too_long(length: int, steps: int, visits: int) -> str:
    """The complaint of jumps for which a walk is too short, and what fits."""
    fix = f"give --steps {length + 1} or more"
    if steps > 1:
        shorter = f'{{name="jumps", lengths=[{steps // 2}], visits=[{visits}]}}'
        fix += f", or shorter jumps: --set 'edits=[{shorter}]'"
    return f"jumps of {length} levels do not fit in a list of {steps}; {fix}"


def _path(
    steps: int, lengths: Sequence[int], full: list[dict[int, int]], again: int, limit: int
) -> list[int]:
    """The places of a walk, counted from the end of the list; the 0 at the end is -1.

    full[i][place] is how often the walk jumps lengths[i] levels up from a place.
    """
    left = [dict(row) for row in full]
    path: list[int] = []
    at = steps
    while at > 0:
        _refuse_long(len(path))
        at -= 1
        path.append(at)
        if at < steps - 2 and at <= limit:
            path += [at + 1, at] * (again - 1)
        for i, length in enumerate(lengths):
            if left[i].get(at, 0) and at + length <= limit:
                left[i][at] -= 1
                path += range(at + 1, at + length + 1)
                at += length
                left[:i] = [dict(row) for row in full[:i]]
    return [*path, -1]


def repeat(levels: Tensor, *, count: Times = 1) -> Tensor:
    """Stay at each level for count moves of the corrector.

    Predictor-corrector sampling (Song 2021, algorithm 1) has one or two, annealed Langevin
    dynamics (Song 2019) a hundred; a single level is plain Langevin dynamics.
    """
    times = torch.where(levels > 0, count + 1, 1)
    _refuse_long(int(times.sum()))
    return levels.repeat_interleave(times)


def _refuse_long(moves: int) -> None:
    if moves > MOVES_LIMIT:
        raise ValueError(f"the walk would have more than {MOVES_LIMIT:,} moves; ask for fewer")


def reverse(levels: Tensor) -> Tensor:
    """From the image to noise: the levels rise, and the 0 at the end is dropped.

    The image is taken as the state at the lowest positive level.
    """
    return levels[levels > 0].flip(0)


def daps(levels: Tensor, *, moves: Times = 5) -> Tensor:
    """From each level down to an image in so many moves, a corrector's move there, and up again.

    The levels of a descent are those of Karras 2022, eq. 5, down to the lowest of the list (Zhang
    2024, DAPS, algorithm 1). The corrector is that of the method daps.
    """
    if not bool((levels.diff() < 0).all()) or levels[-1] != 0:
        raise ValueError("the list already climbs or repeats; leave other edits out")
    _refuse_long((moves + 2) * len(levels))
    low, ends = levels[-2] ** (1 / 7), levels[-1:].repeat(2)
    share = torch.linspace(0, 1, moves, dtype=levels.dtype)
    parts = []
    for t in levels[:-1]:
        down = torch.lerp(t ** (1 / 7), low, share) ** 7
        down[0] = t
        parts += [down if t > levels[-2] else t[None], ends]
    return torch.cat(parts)
