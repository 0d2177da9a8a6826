"""Particles of a walk that a reward steers, as a configuration asks for them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from ddpm_cli.diffusion.particles import Population, Rules, when
from ddpm_cli.diffusion.rng import Randomness, Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.guides.parts.context import Context
from ddpm_cli.models import cost, walk_parts, walks
from ddpm_cli.models.walks import Batch
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.knobs import Few, Fraction, Pick, Positive, Potential, Strength, Times

Score = Callable[[Tensor], Tensor]


class Particles(NamedTuple):
    """What makes a group of particles of each image of a batch.

    score: images [N, ...] to numbers float64 [N]; moves: after which they are asked for.
    """

    score: Score
    randomness: Randomness
    moves: Sequence[int]
    rules: Rules

    def seeds(self, seeds: Sequence[int]) -> list[int]:
        """The seeds of the noise of all particles: the first of a group has that of its image."""
        key, count = self.randomness.key, self.rules.size
        return [key(seed, "particle", i) if i else seed for seed in seeds for i in range(count)]

    def spread(self, batch: Batch) -> Batch:
        """The batch with a group of rows in the place of each of its own.

        Each has the class and what else its image is told, but noise of its own.
        """
        count, seeds = self.rules.size, batch.seeds

        def each(rows: Tensor) -> Tensor:
            return rows.repeat_interleave(count, dim=0)

        def chances(number: int) -> list[float]:
            drawn: list[float] = (
                self.randomness.rng(seeds, "resample", number).uniform(1)[:, 0].tolist()
            )
            return drawn

        start = batch.start
        if start is not None and len(start) == len(seeds):
            start = each(start)
        return batch._replace(
            seeds=[seed for seed in seeds for _ in range(count)],
            conditions={kind: each(rows) for kind, rows in batch.conditions.items()},
            against={kind: each(rows) for kind, rows in batch.against.items()},
            start=start,
            noise=self.seeds(seeds),
            population=Population(self.score, chances, self.moves, len(seeds), self.rules),
        )


def particles(
    context: Context,
    score: Score,
    *,
    count: Few = 8,
    scale: Strength = 1.0,
    potential: Potential = "difference",
    rounds: Times = 5,
    threshold: Fraction = 0.5,
    pick: Pick = "drawn",
    timeout: Positive = 60.0,
) -> Particles:
    """Feynman-Kac steering: groups of walks, of which a reward says which go on (Singhal 2025).

    count: walks of an image.  scale: lambda, how much a reward counts: p(x0) exp(lambda r(x0)).
    potential: what a walk is weighed by on its way: how much its reward rose, its most, or the sum
    of all.  rounds: how often there are rewards, evenly among the moves, at the image last.
    threshold: walks are drawn anew where fewer than this share of them carry the weight.  pick:
    the image is drawn by weight, or that of the best reward.  timeout: seconds for a program.
    """
    levels = walks.prepared(context.config, context.schedule, context.top).levels
    rules = Rules(count, scale, potential, threshold, pick)
    return Particles(score, Randomness(context.compute.rng), when(levels, rounds), rules)


class _Counting:
    """Noise that counts how often it is asked for."""

    def __init__(self) -> None:
        self.draws, self._rng = 0, Rng([0])

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals like `like`."""
        self.draws += 1
        return self._rng.normal(like)


def check(config: Config, schedule: Schedule, top: Tensor | None = None) -> None:
    """Refuse walks whose copies would stay alike, and those whose steps follow each image."""
    settings, sampler = config["particles"], config["sampler"]["name"]
    if walk_parts.is_adaptive(config):
        what = f"sampler {sampler} chooses the steps of each image by itself"
        raise ConfigError(f"particles: {what}; try --sampler ddpm")
    noise = _Counting()
    cost.counted(config, schedule, top, noise)
    is_drawn_anew = settings["threshold"] > 0 and settings["rounds"] > 1 and settings["count"] > 1
    if is_drawn_anew and not noise.draws:
        what = f"sampler {sampler} adds no noise here, so that copies of a particle stay alike"
        fix = "try --sampler ddpm, or draw none anew: --set particles.threshold=0"
        raise ConfigError(f"particles: {what}; {fix}")
