"""Walks from noise to images for a list of seeds, in batches: what sampling and previews share."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from ddpm_cli import hardware, signals
from ddpm_cli.diffusion import guidance
from ddpm_cli.diffusion.denoiser import Bindable, Denoise
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Constraint, Draws, State
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import checkpoint, find, moments
from ddpm_cli.files.checkpoints.checkpoint import DataInfo, Header
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.checkpoints.moments import Fit
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build
from ddpm_cli.settings.config import CLASSIFIER, Config, Layer, resolve

_State = TypeVar("_State")  # of any walk


class Batch(NamedTuple):
    """What the walks of a batch need, a row an image.

    classes: numbers of classes; image: conditioning images [B, K, H, W]; start: states [B, ...]
    at the first level instead of the process's own prior.
    constraint, wrap: of some rows, what is imposed on their state, and what is put around the
    denoiser and its wrappers.
    """

    seeds: Sequence[int]
    classes: Sequence[int] | None = None
    image: Tensor | None = None
    start: Tensor | None = None
    constraint: Callable[[slice], Constraint] | None = None
    wrap: Callable[[Denoise, slice], Denoise] | None = None


class Start(NamedTuple):
    """Where walks begin if not at the prior: seeds -> their states [n, ...] at a level."""

    sigma: Tensor
    states: Callable[[Sequence[int]], Tensor]


class Chunk(NamedTuple):
    """A batch of samples on its way from `begin`: the last of `states` holds the samples.

    denoise: what the batch, or the last walk of those that it is made of, asks at each level.
    """

    seeds: list[int]
    classes: list[int] | None
    states: Iterator[State]
    begin: State
    denoise: Denoise


def chunks(
    denoiser: Bindable,
    config: Config,
    info: DataInfo,
    compute: Compute,
    seeds: Sequence[int],
    classes: Sequence[int] | None,
    batch: int,
    begin: Start | None = None,
    complete: Callable[[Batch], Batch] | None = None,
) -> Iterator[Chunk]:
    """One walk for each `batch` seeds; `classes` are the labels of the seeds, if any.

    complete: adds what a batch needs beside. Image i depends on its own seed, class and start
    only.
    """
    levels = path(config, denoiser.schedule, begin and begin.sigma)
    for first in range(0, len(seeds), batch):
        rows = slice(first, first + batch)
        own = Batch(seeds[rows], None if classes is None else classes[rows])
        if begin is not None:
            own = own._replace(start=begin.states(own.seeds))
        own = complete(own) if complete else own
        yield chunk(denoiser, config, info, compute, own, levels)


def chunk(
    denoiser: Bindable,
    config: Config,
    info: DataInfo,
    compute: Compute,
    batch: Batch,
    levels: Tensor,
) -> Chunk:
    """The walk of one batch along the levels; image i depends on its own row alone."""
    count = len(batch.seeds)
    # A solver whose steps follow the image must not see what else is in the batch.
    size = 1 if build.is_adaptive(config) else count
    like = torch.empty((size, *info.shape), dtype=compute.state_dtype, device=compute.device)
    begins, walks = [], []
    for part in (slice(row, row + size) for row in range(0, count, size)):
        denoise = build.wrapped(config, bound(denoiser, config, condition(batch, part, compute)))
        if batch.wrap is not None:
            denoise = batch.wrap(denoise, part)
        rng = Rng(batch.seeds[part])
        if batch.start is None:
            x = start(denoise, levels, like, rng)
        else:
            x = batch.start[part].to(like)
        constrain = batch.constraint(part) if batch.constraint else None
        begins.append(State(x, levels[0], x))
        walks.append(walked(config, denoise, x, levels, rng, constrain))
    states = map(_joined, zip(*walks, strict=True))
    classes = None if batch.classes is None else list(batch.classes)
    return Chunk(list(batch.seeds), classes, states, _joined(begins), denoise)


def condition(batch: Batch, rows: slice, compute: Compute) -> dict[str, Tensor]:
    """What a network sees beside the noisy images of these rows, on its device."""
    found = {}
    if batch.classes is not None:
        found["classes"] = torch.tensor(batch.classes[rows], device=compute.device)
    if batch.image is not None:
        found["image"] = batch.image[rows].to(compute.device)
    return found


def bound(denoiser: Bindable, config: Config, given: dict[str, Tensor]) -> Denoise:
    """The denoiser with its conditions, guided away from the null class if settings say so."""
    settings = config.get("guidance", {})
    if "classes" not in given or not guidance.is_guiding(settings):
        return denoiser.bind(**given)
    null = torch.full_like(given["classes"], config["network"]["classes"])
    return guidance.guidance(denoiser, given, given | {"classes": null}, **settings)


def walked(
    config: Config,
    denoise: Denoise,
    x: Tensor,
    levels: Tensor,
    rng: Draws,
    constrain: Constraint | None = None,
) -> Iterator[State]:
    """The walk that a configuration describes from the state x."""
    return walk(
        denoise,
        x,
        levels,
        rng,
        predictor=build.predictor(config),
        corrector=build.corrector(config),
        ascend=build.ascend(config),
        constrain=constrain,
    )


def _joined(states: Sequence[State]) -> State:
    """The states of walks along the same levels as those of one batch."""
    if len(states) == 1:
        return states[0]
    return State(
        torch.cat([state.x for state in states]),
        states[0].sigma,
        torch.cat([state.x0 for state in states]),
    )


def path(config: Config, schedule: Schedule, top: Tensor | None = None) -> Tensor:
    """The levels to walk along from noise to an image; edits that fit no such walk are refused.

    top: where to start, if not at the highest level of the list.
    """
    levels, corrector = build.levels(config, schedule, top), config.get("corrector")
    if levels[-1] != 0:
        raise ConfigError("edits: sampling goes from noise to an image; leave reverse out")
    repeats = bool((levels.diff() == 0).any())
    if repeats and corrector is None:
        raise ConfigError("edits: levels repeat without a corrector; set corrector.name=langevin")
    if corrector is not None and not repeats:
        fix = 'add a repeated level: edits=[{name="repeat"}]'
        raise ConfigError(f"corrector.{corrector['name']}: no level repeats; {fix}")
    if config["sampler"]["name"] == "hold" and corrector is None:
        raise ConfigError("sampler.hold: leaves all to a corrector; set corrector.name=ald")
    return levels


class Model(NamedTuple):
    """A checkpoint ready to be used from Python."""

    config: Config
    info: DataInfo
    compute: Compute
    denoiser: Bindable
    header: Header

    def sample(
        self,
        seeds: Sequence[int],
        classes: Sequence[int] | None = None,
        batch: int = 64,
        complete: Callable[[Batch], Batch] | None = None,
    ) -> Tensor:
        """Samples float32 [N, ...], images in [-1, 1], drawn with the model's own sampler.

        complete: adds what a batch needs beside, as guides.
        """
        if classes is None:
            classes = classes_for(seeds, self.config, self.info)
        made = []
        model = (self.denoiser, self.config, self.info, self.compute)
        for chunk in chunks(*model, seeds, classes, batch, complete=complete):
            *_, final = chunk.states
            made.append(self.info.restore(final.x))
        return torch.cat(made)


def load(model: str | None, **compute: str) -> Model:
    """The model that -m names, on its device."""
    found = find.find(model)
    header = checkpoint.read_header(found.path)
    refuse_conditional(header, found.name)
    layers = [Layer("the checkpoint", header.config), Layer("load", {"compute": compute})]
    return ready(found, resolve(layers))


def ready(
    found: Found, config: Config, compute: Compute | None = None, moments_file: Path | None = None
) -> Model:
    """The model of a checkpoint, to be walked with as a configuration says.

    compute: where, if not on the device that the configuration names; moments_file: moments of
    the model, if not those beside it.
    """
    chosen = compute or hardware.compute(**config["compute"])
    header, weights = checkpoint.load(found.path, str(chosen.device))
    denoiser = build.restored(header, weights, chosen, found.path)
    denoise = build.known(denoiser, fitted(config, header, found, moments_file))
    return Model(config, header.data, chosen, denoise, header)


def refuse_classifier(header: Header, name: str) -> None:
    """Refuse to draw with a model that only tells classes apart."""
    if header.task == CLASSIFIER:
        raise Refusal(f"{name}: a classifier, which draws nothing; ddpm guide --classifier {name}")


def refuse_conditional(header: Header, name: str) -> None:
    """Refuse to sample from a model that needs to be given an image, or that draws none."""
    refuse_classifier(header, name)
    if header.task:
        raise Refusal(f"{name}: a model for {header.task}, given an image", f"ddpm {header.task}")


def fitted(config: Config, header: Header, found: Found, file: Path | None = None) -> Fit | None:
    """The moments of the model if a sampler's variance needs them: `file`, or those beside it."""
    if config["sampler"].get("variance") == "optimal":
        return moments.load(file or moments.beside(found.path), header, found.name)
    if file is not None:
        raise ConfigError("--moments: only of use with --set sampler.variance=optimal")
    return None


def refuse_not_finite(x: Tensor, what: str) -> None:
    """Refuse results with NaN or infinite values, which `what` says in words."""
    if not bool(x.isfinite().all()):
        raise Refusal(what, "try --dtype float32, or other settings of the sampler")


def last(states: Iterator[_State]) -> _State | None:
    """Walk to the end, or return None as soon as the process is asked to stop."""
    final = None
    for state in states:
        if signals.requested():
            return None
        final = state
    return final


def class_of(seed: int, classes: int, info: DataInfo) -> int:
    """The class an image gets when none is asked for: drawn from its seed by data frequency."""
    shares = info.frequencies or (1 / classes,) * classes
    drawn = float(Rng([keyed(seed, "class")]).uniform(1)[0, 0])
    bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0).tolist()
    return min(bisect_left(bounds, drawn), len(shares) - 1)


def classes_for(seeds: Sequence[int], config: Config, info: DataInfo) -> list[int] | None:
    """A class for each seed if the network takes classes, else None."""
    classes = config["network"].get("classes")
    if not classes:
        return None
    return [class_of(seed, classes, info) for seed in seeds]
