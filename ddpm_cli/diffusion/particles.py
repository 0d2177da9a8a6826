"""Feynman-Kac steering: particles of a walk are weighed by a reward, and drawn anew by weight.

Groups of N walks target p(x0) exp(lambda r(x0)), of the model's p and a reward r that needs no
gradient (Singhal 2025; sequential Monte Carlo, as Wu 2023, TDS, with potentials of x0 alone).
After some moves a particle is multiplied with a potential G of its path; where few particles
carry the weight, all are drawn anew. However G is chosen, the product along a path is exp(lambda
r(x0)), as the last one is what the others lack of it (section 3.1): with many particles, the
choice costs variance alone.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.steps import State
from ddpm_cli.settings.knobs import Pick, Potential

# (r of now, memory of a path) -> (log G / lambda, memory), float64 [N].
_Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _difference(now: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    return now - past, now


def _max(now: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    most = torch.maximum(now, past)
    return most, most


def _sum(now: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
    return past + now, past + now


# Each with its memory before the first score.
POTENTIALS: Mapping[str, tuple[_Step, float]] = {
    "difference": (_difference, 0.0),
    "max": (_max, -math.inf),
    "sum": (_sum, 0.0),
}


def when(levels: Sequence[float] | Tensor, rounds: int) -> list[int]:
    """The moves after which there are scores, evenly among those down; the last one is among them.

    levels: of the walk [n + 1].  rounds: how many there are at most.
    """
    falls = torch.as_tensor(levels, dtype=torch.float64).diff() < 0
    down = falls.nonzero()[:, 0].tolist()
    count = min(rounds, len(down))
    return [down[math.ceil(len(down) * k / count) - 1] for k in range(1, count + 1)]


def effective(weights: Tensor) -> float:
    """How many particles of equal weight tell as much: (sum w)^2 / sum w^2, of log w [N]."""
    shares = weights.softmax(0)
    return float(1 / shares.square().sum())


def systematic(weights: Tensor, chance: float) -> list[int]:
    """The ancestors of N particles by log weights [N] and one chance in [0, 1) (Kitagawa 1996).

    Particle i has its share times N descendants, rounded up or down.
    """
    ends = weights.softmax(0).cumsum(0)
    places = (torch.arange(len(weights), dtype=torch.float64) + chance) / len(weights)
    return torch.searchsorted(ends, places, right=True).clamp(max=len(weights) - 1).tolist()


class _Group:
    """The N particles of one seed: log weights since they were drawn anew, and their pasts."""

    def __init__(self, count: int, before: float) -> None:
        self.weights = torch.zeros(count, dtype=torch.float64)
        self.total = torch.zeros(count, dtype=torch.float64)  # log of all potentials
        self.past = torch.full((count,), before, dtype=torch.float64)
        self.scores = torch.zeros(count, dtype=torch.float64)

    def weigh(self, potentials: Tensor) -> None:
        """Multiply with potentials, log G [N]."""
        self.weights, self.total = self.weights + potentials, self.total + potentials

    def descend(self, rows: Sequence[int]) -> None:
        """Go on with these particles, all of equal weight."""
        self.total, self.past, self.scores = self.total[rows], self.past[rows], self.scores[rows]
        self.weights = torch.zeros_like(self.weights)


class Rules(NamedTuple):
    """How particles are weighed, drawn anew, and chosen at the end; see guides.parts.particles."""

    size: int
    scale: float
    potential: Potential
    threshold: float
    pick: Pick


class Population:
    """Groups of N particles on their way down, rows [B N] of a batch, those of a group together.

    score: images [N, ...] of one group to numbers float64 [N]; a group is never scored with
    another, whose company could change what a reward says.  chances: of a move's number a chance
    in [0, 1) for each group, by seed and move alone.  moves: after which there are scores.
    """

    def __init__(
        self,
        score: Callable[[Tensor], Tensor],
        chances: Callable[[int], Sequence[float]],
        moves: Collection[int],
        groups: int,
        rules: Rules,
    ) -> None:
        self._score, self._chances, self._moves, self._rules = score, chances, moves, rules
        self._step, before = POTENTIALS[rules.potential]
        self.groups = [_Group(rules.size, before) for _ in range(groups)]
        self._number = -1
        self._chosen: list[int] | None = None

    @property
    def count(self) -> int:
        """How many particles a group has."""
        return self._rules.size

    def __call__(self, state: State) -> Tensor | None:
        """The rows that a walk goes on with after a move, None if with all as they are."""
        self._number += 1
        if self._number not in self._moves:
            return None
        is_last = float(state.sigma) == 0
        seen = state.x if is_last else state.x0
        parts = torch.split(seen, self.count)
        for group, images in zip(self.groups, parts, strict=True):
            self._weigh(group, self._score(images), is_last=is_last)
        chances = self._chances(self._number)
        if is_last:
            self._chosen = [self._best(*pair) for pair in zip(self.groups, chances, strict=True)]
            return None
        return self._drawn(chances)

    def _weigh(self, group: _Group, scores: Tensor, *, is_last: bool) -> None:
        group.scores = scores
        if is_last:
            group.weigh(self._rules.scale * scores - group.total)
            return
        potential, group.past = self._step(scores, group.past)
        group.weigh(self._rules.scale * potential)

    def _drawn(self, chances: Sequence[float]) -> Tensor | None:
        """The rows of all groups once those of few effective particles are drawn anew."""
        count, rows, is_any = self.count, list[int](), False
        for number, (group, chance) in enumerate(zip(self.groups, chances, strict=True)):
            own = list(range(count))
            if effective(group.weights) < self._rules.threshold * count:
                own, is_any = systematic(group.weights, chance), True
                group.descend(own)
            rows += [number * count + row for row in own]
        return torch.tensor(rows) if is_any else None

    def _best(self, group: _Group, chance: float) -> int:
        """The particle that a group comes to."""
        if self._rules.pick == "best":
            return int(group.scores.argmax())
        ends = group.weights.softmax(0).cumsum(0)
        return min(int((ends <= chance).sum()), len(ends) - 1)

    def shown(self, state: State) -> State:
        """A state of one particle of each group: the one chosen at the end, or who leads.

        That is the one of most weight.
        """
        leading = self._chosen or [int(group.weights.argmax()) for group in self.groups]
        count = self.count
        rows = torch.tensor([number * count + row for number, row in enumerate(leading)])
        rows = rows.to(state.x.device)
        return State(state.x[rows], state.sigma, state.x0[rows])
