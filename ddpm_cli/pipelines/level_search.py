"""The search for levels: a reference walk, the costs of jumps along it, and lists tried out."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.diffusion import level_fitting, levels
from ddpm_cli.diffusion.denoiser import Denoise, Wrapped
from ddpm_cli.diffusion.latents import Silent
from ddpm_cli.diffusion.level_fitting import Costs, Places, Recalled, Reference
from ddpm_cli.diffusion.samplers.edm import heun
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.walk import start
from ddpm_cli.errors import Refusal, many
from ddpm_cli.files.checkpoints.level_fits import FITTED
from ddpm_cli.models import cost, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.fit_requests import FitLevels

PLANNED_ON = 16  # images that the costs of jumps are measured on
NUDGE = 0.01  # of the state's scale, to see how far an error is carried
# What a fit is compared with, and begins from where that is better than what was planned.
SPACINGS: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("trailing", {}),
    ("leading", {}),
    ("linspace", {}),
    ("quadratic", {}),
    ("stride", {}),
    ("logsnr", {}),
    ("karras", {}),
    ("karras", {"low": 0.02}),
)


class Found(NamedTuple):
    """A list of levels, and how it was found."""

    sigmas: list[float]
    facts: dict[str, Any]


def standing(config: Config, sigmas: Tensor) -> Config:
    """The configuration with these levels [n] themselves."""
    listed = sigmas.tolist()
    fitted = {"name": FITTED, "count": len(listed), "file": "", "sigmas": listed}
    return config | {"levels": fitted}


class Search(NamedTuple):
    """What a search takes: settings, the grid [M + 1], and what images are told.

    calls: network calls of the walk of each count of moves.
    """

    request: FitLevels
    config: Config
    schedule: Schedule
    grid: Tensor
    asked: Asked
    calls: Mapping[int, int]

    @property
    def seeds(self) -> range:
        """Of the images of the fit."""
        return range(self.request.seed, self.request.seed + self.request.count)

    def words(self) -> str:
        """What the search will take."""
        images, levels = many(len(self.seeds), "images"), len(self.grid) - 1
        lists = ", ".join(map(str, self.calls))
        return (
            f"{images}, a reference of {levels} levels; lists of {lists}: at most "
            f"{many(math.ceil(self.budget() / len(self.seeds)), 'network calls')} an image"
        )

    def budget(self) -> int:
        """The most rows that the network may see."""
        planned = min(PLANNED_ON, len(self.seeds))
        reference = self._reference_calls * (len(self.seeds) + planned)
        every = self.request.walks + len(SPACINGS) + 1
        tried = sum(every * calls for calls in self.calls.values()) * len(self.seeds)
        return reference + self._jump_calls * planned + tried

    @property
    def _reference_calls(self) -> int:
        plain: Config = {"sampler": {"name": "heun"}, "edits": [], "corrector": None}
        walk = standing(self.config | plain, self.grid[:-1])
        return cost.counted(walk, self.schedule).calls or 0

    @property
    def _jump_calls(self) -> int:
        """Calls of all jumps between levels, beyond those that the reference tells of."""
        count, calls = max(self.calls.items())
        size = len(self.grid) - 1
        return round((calls / count - 1) * size * size / 2) if calls > count else 0

    def fits(self, drawer: Model) -> Iterator[Found]:
        """The list of each count; fewer if the process was asked to stop."""
        looked = self._looked(drawer)
        if looked is None:
            return
        costs, judge = looked
        paths = level_fitting.cheapest(costs, list(self.calls))
        for count in self.calls:
            judge.forget()
            fit = self._fit(judge, count, paths[count])
            if fit is None:
                return
            yield fit

    def _looked(self, drawer: Model) -> "tuple[Costs, Judge] | None":
        """The costs of jumps, carried to the end, and what tells how far a walk is from there."""
        walk = walks.prepared(standing(self.config | {"edits": []}, self.grid[:-1]), self.schedule)
        walk = walk._replace(predictor=heun, corrector=None)
        size, planned = self.request.use.size, min(PLANNED_ON, len(self.seeds))
        parts, every = list[_Part](), list[Tensor]()
        batches = [*_parts(self.seeds[:planned], size), *_parts(self.seeds[planned:], size)]
        for seeds in batches:
            if sum(map(len, every)) >= planned:
                end = walks.last(drawer.draw(self.batch(seeds), walk).states)
                if end is None:
                    return None
                every.append(end.x)
                continue
            jumps = self._jumps(drawer, seeds, walk)
            if jumps is None:
                return None
            every.append(jumps.ends)
            parts.append(jumps)
        costs, squares = _mean(parts)
        gains = level_fitting.gains(squares)
        return costs.carried(gains), Judge(self, drawer, torch.cat(every))

    def _jumps(self, drawer: Model, seeds: Sequence[int], walk: Walk) -> "_Part | None":
        """What jumps along the reference of some seeds cost, and how far errors are carried."""
        recalled = Recalled()
        batch = self.batch(seeds, recalled)
        chunk = drawer.draw(batch, walk)
        states = _states(chunk.begin.x, chunk.states)
        rng = drawer.randomness.rng(seeds)
        starts = [start(chunk.denoise, self.grid[i:], states[0], drawer.randomness.rng(seeds))
                  for i in range(len(self.grid) - 1)]  # fmt: skip
        rng.normal(states[0])  # that of the start
        nudged = states[0] + NUDGE * float((1 + self.grid[0] ** 2).sqrt()) * rng.normal(states[0])
        moved = drawer.draw(batch._replace(start=nudged, wrap=None), walk)
        others = _states(moved.begin.x, moved.states)
        if len(states) < len(self.grid) or len(others) < len(self.grid):
            return None
        known = {id(x): prediction for x, _, prediction in recalled.made}
        told = [known[id(state)] for state in states[:-1]]
        reference = Reference(self.grid, states, told)
        step = walks.prepared(standing(self.config, self.grid[:1]), self.schedule).predictor
        missed = level_fitting.costs(moved.denoise, reference, step, starts, Silent())
        if missed is None:
            return None
        return _Part(states[-1], missed, level_fitting.apart(reference, others))

    def batch(self, seeds: Sequence[int], recalled: Recalled | None = None) -> Batch:
        """What the walks of some seeds need; recalled: what notes the calls."""
        plain = Batch(seeds, self.asked.conditions(seeds), self.asked.against(seeds))
        return plain if recalled is None else plain._replace(wrap=_noting(recalled))

    def _fit(self, judge: "Judge", count: int, path: Sequence[int]) -> Found | None:
        """The best list of one count: planned, or the best spacing, then improved."""
        places, best = Places(self.grid), ("", torch.empty(0), math.inf)
        for name, sigmas in self._spacings(count):
            there = judge.distance(sigmas)
            if there is None:
                return None
            best = (name, sigmas, there) if there < best[2] else best
        planned = judge.distance(self.grid[path])
        if planned is None:
            return None
        begin, others = list(map(float, path)), places.of(best[1])
        if self.request.walks and best[2] < planned and places.are_apart(others):
            begin = others
        found = level_fitting.improved(
            begin,
            lambda trial: judge.distance(places.levels(trial)),
            len(self.grid) - 1,
            self.request.walks,
        )
        if found is None:
            return None
        if not math.isfinite(found[1]):
            raise Refusal("walks end in values that are not finite", "try --dtype float32")
        sigmas, least = places.levels(found[0]), found[1]
        if self.request.walks and best[2] < least:
            sigmas, least = best[1], best[2]
        facts = {"rms": least, "planned_rms": planned, "spacing_rms": best[2]}
        facts = {k: float(f"{v:.4g}") for k, v in facts.items() if math.isfinite(v)}
        about = {"images": len(self.seeds), "seed": self.request.seed, "grid": len(self.grid) - 1}
        return Found(sigmas.tolist(), {**facts, "spacing": best[0] or None, **about})

    def _spacings(self, count: int) -> Iterator[tuple[str, Tensor]]:
        """The spacings that have as many levels on this process, by what they are called."""
        for name, knobs in SPACINGS:
            try:
                sigmas = getattr(levels, name)(self.schedule, count=count, **knobs)[:-1]
            except ValueError:
                continue
            if len(sigmas) == count:
                yield " ".join([name, *(f"{k}={v:g}" for k, v in knobs.items())]), sigmas


class _Part(NamedTuple):
    """Where some images end [B, ...], and mean squares of them; see level_fitting."""

    ends: Tensor
    costs: Costs
    apart: Tensor


class Judge:
    """Tells how far from the reference the walks along a list of levels end."""

    def __init__(self, search: Search, drawer: Model, ends: Tensor) -> None:
        """Take the model, and where the reference ends for all images [n, ...]."""
        self._search, self._drawer, self._ends = search, drawer, ends
        self.forget()

    def forget(self) -> None:
        """Begin anew, with lists of another length."""
        parts = _parts(self._search.seeds, self._search.request.use.size)
        self._parts = [(seeds, Recalled()) for seeds in parts]
        self._least = math.inf

    def distance(self, sigmas: Tensor) -> float | None:
        """Root mean square a value over all images; None if the process was asked to stop."""
        config, total, row = standing(self._search.config, sigmas), 0.0, 0
        walk = walks.prepared(config, self._search.schedule)
        for seeds, recalled in self._parts:
            end = walks.last(self._drawer.draw(self._search.batch(seeds, recalled), walk).states)
            if end is None:
                return None
            apart = end.x - self._ends[row : row + len(seeds)]
            total, row = total + float(apart.double().square().sum()), row + len(seeds)
        found = math.sqrt(total / self._ends.numel())
        if found < self._least:
            self._least = found
            for _, recalled in self._parts:
                recalled.keep()
        return found if math.isfinite(found) else math.inf


def _noting(recalled: Recalled) -> Callable[[Denoise, slice], Denoise]:
    return lambda denoise, rows: Wrapped(denoise, recalled.around(denoise))


def _states(begin: Tensor, states: Iterator[Any]) -> list[Tensor]:
    """The states of a walk from its begin on; fewer if the process was asked to stop."""
    kept = [begin]
    for state in states:
        if signals.requested():
            break
        kept.append(state.x)
    return kept


def _parts(seeds: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (seeds[first : first + size] for first in range(0, len(seeds), size))


def _mean(parts: Sequence[_Part]) -> tuple[Costs, Tensor]:
    """The mean squares of all images, of those of some."""
    counts = [len(part.ends) for part in parts]

    def mean(tensors: Sequence[Tensor]) -> Tensor:
        every = zip(tensors, counts, strict=True)
        return torch.stack([squares * rows / sum(counts) for squares, rows in every]).sum(0)

    pairs = [part.costs.pair for part in parts if part.costs.pair is not None]
    first = mean([part.costs.first for part in parts])
    single = mean([part.costs.single for part in parts])
    costs = Costs(first, single, mean(pairs) if pairs else None)
    return costs, mean([part.apart for part in parts])
