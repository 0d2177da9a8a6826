"""Walks as a configuration describes them, prepared once: levels, steps and wrappers."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.measuring import Method
from ddpm_cli.diffusion.particles import Population
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Constraint, Draws, Select, State, Step
from ddpm_cli.diffusion.walk import walk
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.models import walk_parts
from ddpm_cli.settings.config import Config

_State = TypeVar("_State")  # of any walk


class Walk(NamedTuple):
    """A way from noise to images: the levels [n + 1], what each kind of move does, and wrappers.

    constrain: makes what is imposed on the states of clean images [B, ...] of which a mask
    [B or 1, 1, ...] says what is known.
    """

    levels: Tensor
    predictor: Step
    corrector: Step | None
    ascend: Step
    wrap: Callable[[Denoise], Denoise]
    constrain: Callable[[Tensor, Tensor], Constraint] | None
    is_adaptive: bool

    def by(self, method: Method) -> "Walk":
        """The same with the steps of a method of restoring."""
        step = method.predictor(self.predictor) if method.predictor else self.predictor
        return self._replace(predictor=step, corrector=method.corrector or self.corrector)

    def states(
        self,
        denoise: Denoise,
        x: Tensor,
        rng: Draws,
        constrain: Constraint | None = None,
        select: Select | None = None,
    ) -> Iterator[State]:
        """Walk the state x [B, ...] at levels[0] to an image with a denoiser that is wrapped."""
        return walk(
            denoise,
            x,
            self.levels,
            rng,
            predictor=self.predictor,
            corrector=self.corrector,
            ascend=self.ascend,
            constrain=constrain,
            select=select,
        )


def prepared(config: Config, schedule: Schedule, top: Tensor | None = None) -> Walk:
    """The walk of a configuration; edits of the levels that fit no walk to an image are refused.

    top: where to start, if not at the highest level of the list.
    """
    return Walk(
        _levels(config, schedule, top),
        walk_parts.predictor(config),
        walk_parts.corrector(config),
        walk_parts.ascend(config),
        walk_parts.wrapper(config),
        walk_parts.constraint(config) if config.get("constraints") else None,
        walk_parts.is_adaptive(config),
    )


def _levels(config: Config, schedule: Schedule, top: Tensor | None) -> Tensor:
    levels, corrector = walk_parts.levels(config, schedule, top), config.get("corrector")
    steps_on_images = config.get("method", {}).get("name") == "daps"
    if levels[-1] != 0:
        raise ConfigError("edits: sampling goes from noise to an image; leave reverse out")
    repeats = bool((levels.diff() == 0).any())
    if steps_on_images and (corrector is not None or not repeats):
        fix = '--set corrector.name=none, and edits=[{name="daps"}]'
        raise ConfigError(f"--method daps: it is a corrector of its own, on images; {fix}")
    if repeats and corrector is None and not steps_on_images:
        raise ConfigError("edits: levels repeat without a corrector; set corrector.name=langevin")
    if corrector is not None and not repeats:
        fix = 'add a repeated level: edits=[{name="repeat"}]'
        raise ConfigError(f"corrector.{corrector['name']}: no level repeats; {fix}")
    if config["sampler"]["name"] == "hold" and corrector is None:
        raise ConfigError("sampler.hold: leaves all to a corrector; set corrector.name=ald")
    return levels


def level(text: str, schedule: Schedule) -> Tensor:
    """The noise level that --at names."""
    match = re.fullmatch(r"([0-9]{1,9}|[0-9]{0,9}\.[0-9]{1,18})(%?)", text.strip())
    if match is None:
        raise ConfigError(f"--at {text!r}: this is no time; write it as 400, 0.4 or 40%")
    at, is_share = float(match[1]), bool(match[2])
    try:
        return latents.level(schedule, at / 100 if is_share else at, share=is_share)
    except ValueError as error:
        raise ConfigError(f"--at {text}: {error}") from None


class Start(NamedTuple):
    """Where walks begin if not at the prior: seeds -> their states [n, ...] at a level.

    scale: of the pixels that they were made of, if these were not the model's own; is_noised: the
    seeds choose noise, and not which of some states it is.
    """

    sigma: Tensor
    states: Callable[[Sequence[int]], Tensor]
    scale: Scale | None = None
    is_noised: bool = False


class Batch(NamedTuple):
    """What the walks of a batch need, a row an image.

    conditions: what the network sees beside the noisy image, by kind: "classes" int64 [B],
    "image" [B, K, H, W], "values", "text"; against: what guidance is away from, where that is not
    to be told nothing; start: states [B, ...] at the first level instead of the process's own
    prior; constraint, method, wrap: of some rows, what is imposed on their state, how something is
    known of them, and what is put around the denoiser, its wrappers and the method; shape: of what
    is drawn, if not of what the network was trained on; bound: of some rows, the denoiser that
    sees their conditions and what their seeds drew, if not the model's own; noise: the seeds of
    the noise, if not `seeds`; population: the groups of particles that the rows are, of which one
    of each comes out.
    """

    seeds: Sequence[int]
    conditions: dict[str, Tensor]
    against: Mapping[str, Tensor] = MappingProxyType({})
    start: Tensor | None = None
    constraint: Callable[[slice], Constraint] | None = None
    method: Callable[[slice], Method] | None = None
    wrap: Callable[[Denoise, slice], Denoise] | None = None
    shape: tuple[int, ...] | None = None
    bound: Callable[[slice, Conditions], Denoise] | None = None
    noise: Sequence[int] | None = None
    population: Population | None = None


class Chunk(NamedTuple):
    """A batch of samples on its way from `begin`: the last of `states` holds the samples.

    denoise: what the batch, or the last walk of those that it is made of, asks at each level.
    """

    seeds: list[int]
    classes: list[int] | None
    states: Iterator[State]
    begin: State
    denoise: Denoise


def picked(chunk: Chunk, population: Population) -> Chunk:
    """The walks of one particle of each group; see Population.shown."""
    count = population.count
    numbers = None if chunk.classes is None else chunk.classes[::count]
    begin, states = population.shown(chunk.begin), map(population.shown, chunk.states)
    return Chunk(chunk.seeds[::count], numbers, states, begin, chunk.denoise)


def joined(states: Sequence[State]) -> State:
    """The states of walks along the same levels as those of one batch."""
    if len(states) == 1:
        return states[0]
    return State(
        torch.cat([state.x for state in states]),
        states[0].sigma,
        torch.cat([state.x0 for state in states]),
    )


def last(states: Iterator[_State]) -> _State | None:
    """Walk to the end, or return None as soon as the process is asked to stop."""
    final = None
    for state in states:
        if signals.requested():
            return None
        final = state
    return final


def refuse_not_finite(x: Tensor, what: str, fix: str = "other settings of the sampler") -> None:
    """Refuse results with NaN or infinite values, which `what` says in words."""
    if not bool(x.isfinite().all()):
        raise Refusal(what, f"try --dtype float32, or {fix}")
