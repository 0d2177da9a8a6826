"""Noise levels fitted to a model: what jumps along its ODE cost, and the cheapest list of them.

A fine walk of some images is the reference.  A jump from one of its levels to another costs what
one step of a sampler misses the reference by, as far as that is carried to the end; dynamic
programming finds the cheapest list of so many jumps (GITS: Chen 2024; optimized steps: Xue 2024).
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.diffusion import levels
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Draws, Move, Step, Visited

_APART = 1e-3  # in log sigma: solvers divide by the distance of two levels
_GAIN = 1e-3  # share of a distance that a change of levels must save, beyond rounding
_FINEST = 1 / 8  # of a cell of the grid


class Reference(NamedTuple):
    """States x [B, ...] at the levels [M + 1], the last of them 0, and predictions but there."""

    levels: Tensor
    states: Sequence[Tensor]
    predictions: Sequence[Prediction]


class Costs(NamedTuple):
    """Mean squares of what is missed, x / sqrt(1 + sigma^2) being what counts at each level.

    first [M]: starting at a level; single [M, M + 1]: a jump [i, j] that nothing came before;
    pair [M, M, M + 1]: a jump [h, i, j], of samplers that remember the one before. Infinite where
    there is no jump.
    """

    first: Tensor
    single: Tensor
    pair: Tensor | None

    def carried(self, gains: Tensor) -> "Costs":
        """Roots, times how far [M + 1] an error at the level of the landing is carried on."""
        pair = None if self.pair is None else self.pair.sqrt() * gains
        return Costs(self.first.sqrt() * gains[:-1], self.single.sqrt() * gains, pair)


def grid(schedule: Schedule, count: int) -> Tensor:
    """At most `count` levels and 0: half of them even in time, half even in log SNR."""
    even = levels.trailing(schedule, count=min(count // 2, schedule.steps or count))
    mixed = torch.cat([even, levels.logsnr(schedule, count=count - count // 2)])
    sorted_ = torch.unique(mixed).flip(0)
    kept = [sorted_[0]]
    for level in sorted_[1:]:
        if level == 0 or math.log(float(kept[-1]) / float(level)) > _APART:
            kept.append(level)
    return torch.stack(kept)


class _Known:
    """A denoiser that knows its predictions along a reference, and asks the network elsewhere."""

    def __init__(self, denoise: Denoise, reference: Reference) -> None:
        self.schedule = denoise.schedule
        self._denoise = denoise
        known = zip(reference.states[:-1], reference.predictions, strict=True)
        self._known = {id(state): prediction for state, prediction in known}

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        known = self._known.get(id(x))
        return self._denoise(x, sigma) if known is None else known


@torch.no_grad()
def costs(
    denoise: Denoise, reference: Reference, step: Step, starts: Sequence[Tensor], rng: Draws
) -> Costs | None:
    """What a sampler's jumps between the levels of a reference miss it by; None if stopped.

    starts: the process's own prior of the same images at each level. Samplers of one call a move
    call no network, as all that they ask for is known. A jump [h, i, j] knows of no move before h:
    of a solver of order 3 it is one of order 2.
    """
    count = len(reference.levels) - 1
    known = _Known(denoise, reference)
    first = torch.stack([_missed(x, reference, i) for i, x in enumerate(starts)])
    single = torch.full((count, count + 1), math.inf, dtype=torch.float64)
    pairs = torch.full((count, count, count + 1), math.inf, dtype=torch.float64)
    remembers = False
    for i in range(count):
        if signals.requested():
            return None
        for j in range(i + 1, count + 1):
            past: list[Visited] = []
            x = step(known, reference.states[i], _move(reference, i, j), rng, past)
            single[i, j] = _missed(x, reference, j)
            if past and j < count:
                remembers = True
                for k in range(j + 1, count + 1):
                    move = _move(reference, j, k)
                    x = step(known, reference.states[j], move, rng, past.copy())
                    pairs[i, j, k] = _missed(x, reference, k)
    return Costs(first, single, pairs if remembers else None)


def _move(reference: Reference, i: int, j: int) -> Move:
    return Move(reference.levels[i], reference.levels[j])


def _missed(x: Tensor, reference: Reference, j: int) -> Tensor:
    """Mean square by which a state misses the reference at its level j, in units of its scale."""
    square = (x - reference.states[j]).double().square().mean().cpu()
    return square / (1 + reference.levels[j] ** 2)


def apart(reference: Reference, perturbed: Sequence[Tensor]) -> Tensor:
    """Mean squares [M + 1] of how far another walk is from a reference at each of its levels."""
    return torch.stack([_missed(x, reference, j) for j, x in enumerate(perturbed)])


def gains(squares: Tensor) -> Tensor:
    """How far an error at each level [M + 1] is carried to the end, by one perturbed walk.

    The ratio of its distances from the reference at the end and at the level; see `apart`.
    """
    apart = squares.sqrt()
    floor = apart.max() * 1e-6
    return apart[-1].clamp(min=floor) / apart.clamp(min=floor)


def cheapest(costs: Costs, counts: Sequence[int]) -> dict[int, list[int]]:
    """For each count of moves the levels to visit, as indices of the grid; the end, M, is not one.

    Dynamic programming over the last two levels: the best way to i by h, and on from there to j.
    """
    size = len(costs.first)
    on = costs.single.expand(size, size, size + 1) if costs.pair is None else costs.pair
    total = costs.first[:, None] + costs.single  # of one move [i, j]
    origins: list[Tensor] = []
    found = {}
    for moves in range(1, max(counts) + 1):
        if moves > 1:
            # [h, i, j]: moves so far end at i, coming from h.
            total, origin = (total[:, :size, None] + on).min(0)
            origins.append(origin)
        if moves in counts:
            found[moves] = _path(total, origins)
    return found


def _path(total: Tensor, origins: Sequence[Tensor]) -> list[int]:
    """The levels of the cheapest way to the end, from the last move backwards."""
    here, there = int(total[:, -1].argmin()), total.shape[1] - 1
    path = [here]
    for origin in reversed(origins):
        here, there = int(origin[here, there]), here
        path.append(here)
    return path[::-1]


class Places(NamedTuple):
    """Levels by where they lie on a grid: 1.5 is halfway, in log sigma, from its second to third.

    Numbers of eighths, so that equal searches give equal levels.
    """

    grid: Tensor

    def of(self, sigmas: Tensor) -> list[float]:
        """The places of descending levels, the nearest that are apart."""
        knots, at = self._knots, sigmas[sigmas > 0].log()
        high = torch.searchsorted(-knots, -at).clamp(1, len(knots) - 1)
        share = (knots[high - 1] - at) / (knots[high - 1] - knots[high])
        found = ((high - 1 + share) / _FINEST).round() * _FINEST
        return [float(place) for place in found.clamp(0, len(knots) - 1)]

    def levels(self, places: Sequence[float]) -> Tensor:
        """The levels [n] at places."""
        at = torch.tensor(places, dtype=torch.float64)
        low = at.floor().clamp(max=len(self._knots) - 2).long()
        logs: Tensor = torch.lerp(self._knots[low], self._knots[low + 1], at - low)
        lowest, highest = self.grid[self.grid > 0][-1], self.grid[0]
        return logs.exp().clamp(lowest, highest)  # past rounding

    def are_apart(self, places: Sequence[float]) -> bool:
        """Whether places are a list of levels of the grid."""
        return _is_list(places, len(self._knots))

    @property
    def _knots(self) -> Tensor:
        return self.grid[self.grid > 0].log()


def improved(
    places: Sequence[float],
    distance: Callable[[Sequence[float]], float | None],
    size: int,
    walks: int,
) -> tuple[list[float], float] | None:
    """Coordinate descent: single levels moved as long as that brings the end of walks nearer.

    By a quarter of the mean gap between levels of a grid of `size`, then by half of that and so
    on, to an eighth of a cell; distance: of the end of the walk along levels at these places to
    the reference, None if the process was asked to stop, as is then the result. At most `walks`.
    """
    best, left = list(places), walks - 1
    least = distance(best)
    if least is None:
        return None
    step = 2.0 ** max(round(math.log2(size / len(best) / 4)), 0)
    liked = [1.0] * len(best)  # the direction that was of use before
    while step >= _FINEST:
        moved = False
        for i in reversed(range(len(best))):
            for way in (liked[i], -liked[i]):
                trial = [*best[:i], best[i] + way * step, *best[i + 1 :]]
                if not _is_list(trial, size) or left <= 0:
                    continue
                left -= 1
                there = distance(trial)
                if there is None:
                    return None
                if there < least * (1 - _GAIN):
                    best, least, liked[i], moved = trial, there, way, True
                    break
        step = step if moved else step / 2
    return best, least


def _is_list(places: Sequence[float], size: int) -> bool:
    """Whether places descend a grid of so many levels, and are apart."""
    inside = places[0] >= 0 and places[-1] <= size - 1
    return inside and all(after - before >= _FINEST for before, after in pairwise(places))


class Recalled:
    """Remembers the calls of a walk, so that those that the next one begins with cost nothing.

    `made`: state, level and prediction of each call of the last walk; `keep` says that this is the
    one to remember.
    """

    def __init__(self) -> None:
        self._kept: list[tuple[Tensor, float, Prediction]] = []
        self.made: list[tuple[Tensor, float, Prediction]] = []

    def keep(self) -> None:
        """Remember the last walk instead of the one before."""
        self._kept = self.made

    def around(self, denoise: Denoise) -> Callable[[Tensor, Tensor], Prediction]:
        """What a new walk asks."""
        self.made = made = list[tuple[Tensor, float, Prediction]]()

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            level, prediction = float(sigma), None
            if len(made) < len(self._kept):
                state, at, known = self._kept[len(made)]
                prediction = known if at == level and torch.equal(state, x) else None
            prediction = denoise(x, sigma) if prediction is None else prediction
            made.append((x, level, prediction))
            return prediction

        return call
