"""Whole walks from noise to samples: kept as arrays, or drawn as a film or as a strip."""

import io
import json
import math
import zipfile
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.milestones import HIGH, OF_IMAGES, milestones
from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.outputs import encoding, films, numbers, stills, targets
from ddpm_cli.files.outputs.fields import View
from ddpm_cli.files.outputs.stills import Story
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import METADATA_KEY, Record, compact
from ddpm_cli.settings import showing
from ddpm_cli.settings.layouts import USUAL, Layout

DEFAULT_FRAMES = {".gif": 60, **dict.fromkeys(encoding.SUFFIXES, 8)}
SUFFIXES = (".npz", ".safetensors", ".gif", *encoding.SUFFIXES)
BYTE_LIMIT = 2**30  # of all states that are kept


class Chunk(Protocol):
    """A batch on its way; see generate.Chunk."""

    @property
    def seeds(self) -> list[int]:
        """The seeds of the batch."""

    @property
    def classes(self) -> list[int] | None:
        """The class of each seed, if any."""

    @property
    def states(self) -> Iterator[State]:
        """The states after each move."""

    @property
    def begin(self) -> State:
        """The state before the first move."""

    @property
    def denoise(self) -> Denoise:
        """What the walk asks at each level."""


class Wanted(NamedTuple):
    """What of walks goes to a file, all of it known before any work.

    levels: of the walk; frames: how many states of it; show: the rows of a picture, None for the
    usual ones; law: of the data, if it is known; randomness: of the noise of a row `forward`.
    """

    path: Path
    levels: Tensor
    frames: int | None = None
    show: tuple[str, ...] | None = None
    law: Mixture | None = None
    randomness: Randomness = Randomness()
    force: bool = False
    layout: Layout = USUAL


class Trajectory:
    """Chosen states of all walks, alpha * x in the units of the data.

    alpha is the scale of the network's input, so that a variance-preserving walk starts at unit
    noise as in the papers' pictures.
    """

    def __init__(self, wanted: Wanted, count: int, info: DataInfo) -> None:
        """Check the file before any work is done, and choose among the states."""
        self._wanted, self._info = wanted, info
        path, moves = wanted.path, len(wanted.levels) - 1
        self._suffix = path.suffix.lower()
        if self._suffix not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ConfigError(f"--trajectory {path}: unknown ending; use one of {known}")
        self._show = self._rows()
        self._stills = stills.of_data(info, wanted.layout)
        kept = wanted.frames or DEFAULT_FRAMES.get(self._suffix, moves + 1)
        high = OF_IMAGES if info.is_image else HIGH
        self._chosen = milestones(wanted.levels, kept, high)
        targets.refuse_existing(path, wanted.force, "--trajectory")
        encoding.announce(path)
        self._refuse_size(count, 8 * count * math.prod(info.row) * len(self._chosen))
        self._states: list[list[Tensor]] = [[] for _ in self._chosen]
        self._clean: list[list[Tensor]] = [[] for _ in self._chosen]
        self._forward: list[list[Tensor]] = [[] for _ in self._chosen]
        self._paths: list[Tensor] = []
        self._levels: list[tuple[float, float]] = []
        self._views: list[View | None] = []
        self._times: Tensor | None = None
        self._seeds: list[int] = []

    def _rows(self) -> tuple[str, ...]:
        """What a picture shows; what it cannot, or what no picture is made of, is refused."""
        show, path = self._wanted.show, self._wanted.path
        if self._suffix not in DEFAULT_FRAMES:
            if show is not None:
                raise ConfigError(f"--show: of a picture, and {path} is none; leave it out")
            return ()
        about = self._info.row, self._info.is_image
        if show is None:
            return showing.usual(about[0], is_image=about[1])[: None if self._strip else 1]
        showing.check(show, about[0], is_image=about[1])
        if not self._strip and (len(show) > 1 or show[0] not in showing.STATES):
            what = " or ".join(showing.STATES)
            raise ConfigError(f"--show: a film shows one of {what}; give one, or a .png")
        return show

    def _refuse_size(self, count: int, needed: int) -> None:
        path = self._wanted.path
        if needed > BYTE_LIMIT:
            what = f"{path}: the states take {needed:,} bytes, at most {BYTE_LIMIT:,}"
            raise Refusal(what, "ask for fewer samples, or fewer --frames")
        targets.refuse_too_large(path, needed)
        if self._suffix in DEFAULT_FRAMES:
            frames = len(self._chosen) * len(self._show) if self._strip else 1
            self._stills.refuse(path, count, frames)

    @property
    def _strip(self) -> bool:
        return encoding.is_picture(self._wanted.path)

    def states(self, chunk: Chunk) -> Iterator[State]:
        """Pass the states of a batch on, and keep the chosen ones."""
        is_first = not self._seeds
        self._seeds += chunk.seeds
        places = {place: kept for kept, place in enumerate(self._chosen)}
        last = None
        for number, state in enumerate(chain([chunk.begin], chunk.states)):
            if number - 1 in places:  # what was predicted there is known a move later
                self._clean[places[number - 1]].append(self._info.restore(state.x0))
            if number in places:
                self._keep(chunk, state, places[number], is_first)
            if showing.PATHS in self._show and is_first:
                self._paths.append(self._native(chunk, state.x[: stills.PATHS], state.sigma))
            last = state
            if number:
                yield state
        if last is not None and not last.sigma:
            self._clean[-1].append(self._info.restore(last.x))
            self._noise_again(chunk, last.x)

    def _native(self, chunk: Chunk, x: Tensor, sigma: Tensor) -> Tensor:
        """A state as the network sees it, in the units of the data; of pictures stills.seen."""
        schedule = chunk.denoise.schedule
        if self._suffix in DEFAULT_FRAMES:
            return stills.seen(x, sigma, schedule, self._info)
        return self._info.restore(schedule.native(x, sigma))

    def _keep(self, chunk: Chunk, state: State, kept: int, is_first: bool) -> None:
        self._states[kept].append(self._native(chunk, state.x, state.sigma))
        if is_first:
            self._times = _times(chunk.denoise.schedule, self._wanted.levels)
            alpha = float(chunk.denoise.schedule.alpha(state.sigma))
            self._levels.append((float(state.sigma), alpha))
            self._views.append(self._view(chunk, state))

    def _noise_again(self, chunk: Chunk, x0: Tensor) -> None:
        """Keep samples with the noise of each level, as the forward process has them."""
        if showing.FORWARD not in self._show:
            return
        for kept, (sigma, _) in zip(self._forward, self._levels, strict=True):
            level = torch.tensor(sigma, dtype=torch.float64)
            noise = self._wanted.randomness.rng(chunk.seeds, "noised")
            kept.append(self._native(chunk, latents.noised(x0, level, noise), level))

    def _view(self, chunk: Chunk, state: State) -> View | None:
        """What a strip of a plane is to say of the denoiser, if its samples share their class."""
        if not {*showing.FIELDS} & {*self._show} or not state.sigma:
            return None
        told = {*(chunk.classes or ())}
        if len(told) > 1 and showing.SCORE in self._show:
            raise ConfigError("--show score: of samples of one class; add --class none")
        if len(told) > 1:
            return None
        is_told = bool(told) and told != {len(self._info.classes or ())}
        law = None if is_told else self._wanted.law
        return View(chunk.denoise, state.sigma, state.x, self._info, law)

    def finish(self, record: Record) -> list[Path]:
        """Write the file."""
        about = {**record, "seeds": compact(self._seeds), "frames": len(self._chosen)}
        write = {".npz": self._npz, ".safetensors": self._safetensors, ".gif": self._gif}
        data = write.get(self._suffix, self._picture)(about)
        return targets.put(self._wanted.path, data, Existing(self._wanted.force))

    def _tensors(self) -> dict[str, Tensor]:
        sigmas, alphas = torch.tensor(self._levels, dtype=torch.float64).T.contiguous()
        seeds = torch.tensor(self._seeds, dtype=torch.int64)
        found = {"states": _whole(self._states), "x0": _whole(self._clean)}
        return {**found, "sigmas": sigmas, "alphas": alphas, "seeds": seeds}

    def _npz(self, about: Record) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            numbers.add_arrays(archive, {k: v.numpy() for k, v in self._tensors().items()})
            numbers.add_arrays(archive, {METADATA_KEY: np.array(json.dumps(about))})
        return buffer.getvalue()

    def _safetensors(self, about: Record) -> bytes:
        tensors = {name: tensor.contiguous() for name, tensor in self._tensors().items()}
        return safetensors.save(tensors, {METADATA_KEY: json.dumps(about, sort_keys=True)})

    def _story(self) -> Story:
        """All that a picture may show."""
        every = {
            showing.FORWARD: self._forward,
            showing.WALK: self._states,
            showing.X0: self._clean,
        }
        states = {kind: _whole(every[kind]) for kind in self._show if kind in every}
        paths = torch.stack(self._paths) if self._paths else None
        sigmas = [sigma for sigma, _ in self._levels]
        return Story(self._show, states, sigmas, self._chosen, self._times, self._views, paths)

    def _picture(self, about: Record) -> bytes:
        """A strip, a level beside the other."""
        strip = self._stills.strip(self._story())
        return encoding.encode(strip, self._wanted.path, {**about, "show": [*self._show]})

    def _gif(self, about: Record) -> bytes:
        """A film that stays at its end for a while and starts again."""
        return films.encode(self._stills.film(self._story()), {**about, "show": [*self._show]})


def _times(schedule: Schedule, levels: Tensor) -> Tensor | None:
    """The times of levels, if none comes again; of the samples 0."""
    if bool((levels.diff() >= 0).any()):
        return None
    with torch.no_grad():  # a learned schedule is a network
        return torch.where(levels > 0, schedule.time(levels), 0.0) * (schedule.steps or 1)


def _whole(kept: Sequence[Sequence[Tensor]]) -> Tensor:
    """States [K, N, ...] of all batches."""
    return torch.stack([torch.cat([*parts]) for parts in kept])


def uses(path: Path | None, info: DataInfo) -> tuple[str, ...]:
    """What of a layout the file of a trajectory shows."""
    suffix = path.suffix.lower() if path is not None and info.is_image else ""
    return {".gif": ("columns", "zoom")}.get(suffix, ("zoom",) if suffix in DEFAULT_FRAMES else ())
