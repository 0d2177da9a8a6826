"""Whole walks from noise to samples: kept as arrays, or drawn as a film or as a strip."""

import io
import json
import math
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.steps import State
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.outputs import encoding, numbers, stills, targets
from ddpm_cli.files.outputs.frames import encode_gif
from ddpm_cli.files.outputs.stills import Field
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import METADATA_KEY, Record, compact
from ddpm_cli.settings.layouts import USUAL, Layout

DEFAULT_FRAMES = {".gif": 60, **dict.fromkeys(encoding.SUFFIXES, 8)}
SUFFIXES = (".npz", ".safetensors", ".gif", *encoding.SUFFIXES)
BYTE_LIMIT = 2**30  # of all states that are kept
GRID = 20  # arrows along each axis of a field


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


class Trajectory:
    """Chosen states of all walks, alpha * x in the units of the data.

    alpha is the scale of the network's input, so that a variance-preserving walk starts at unit
    noise as in the papers' pictures.
    """

    def __init__(
        self,
        path: Path,
        count: int,
        info: DataInfo,
        moves: int,
        frames: int | None,
        *,
        force: bool,
        layout: Layout = USUAL,
    ) -> None:
        """Check the file before any work is done, and choose `frames` of the moves + 1 states."""
        self._path, self._info, self._force = path, info, force
        self._stills = stills.of_data(info, layout)
        self._suffix = path.suffix.lower()
        if self._suffix not in SUFFIXES:
            known = ", ".join(SUFFIXES)
            raise ConfigError(f"--trajectory {path}: unknown ending; use one of {known}")
        wanted = min(frames or DEFAULT_FRAMES.get(self._suffix, moves + 1), moves + 1)
        self._chosen = set(torch.linspace(0, moves, wanted).round().long().tolist())
        targets.refuse_existing(path, force, "--trajectory")
        encoding.announce(path)
        self._refuse_size(count, 4 * count * math.prod(info.row) * len(self._chosen))
        self._states: list[list[Tensor]] = [[] for _ in self._chosen]
        self._levels: list[tuple[float, float]] = []
        self._fields: list[Field | None] = []
        self._seeds: list[int] = []

    def _refuse_size(self, count: int, needed: int) -> None:
        if needed > BYTE_LIMIT:
            what = f"{self._path}: the states take {needed:,} bytes, at most {BYTE_LIMIT:,}"
            raise Refusal(what, "ask for fewer samples, or fewer --frames")
        targets.refuse_too_large(self._path, needed)
        if self._suffix in DEFAULT_FRAMES:
            self._stills.refuse(self._path, count, len(self._chosen) if self._strip else 1)

    @property
    def _strip(self) -> bool:
        return encoding.is_picture(self._path)

    def states(self, chunk: Chunk) -> Iterator[State]:
        """Pass the states of a batch on, and keep the chosen ones."""
        is_first = not self._seeds
        self._seeds += chunk.seeds
        kept = 0
        for number, state in enumerate(chain([chunk.begin], chunk.states)):
            if number in self._chosen:
                schedule = chunk.denoise.schedule
                native = schedule.native(state.x, state.sigma)
                self._states[kept].append(self._info.restore(native))
                if is_first:
                    alpha = float(schedule.alpha(state.sigma))
                    self._levels.append((float(state.sigma), alpha))
                    self._fields.append(self._field(chunk, state, alpha))
                kept += 1
            if number:
                yield state

    def _field(self, chunk: Chunk, state: State, alpha: float) -> Field | None:
        """The drift on a grid, for a strip of two dimensions whose samples share their class."""
        mixed = len(set(chunk.classes or ())) > 1
        is_plane = self._info.shape == self._info.row == (2,)
        if not self._strip or not is_plane or mixed or not state.sigma:
            return None
        reach = 2.5 * alpha * float(chunk.denoise.schedule.prior(state.sigma))
        line = torch.linspace(-reach, reach, GRID, dtype=state.x.dtype)
        grid = torch.cartesian_prod(line, line).to(state.x.device)
        moved = grid + drift(chunk.denoise, grid, state.sigma, len(chunk.seeds))
        places = self._info.restore(grid)
        return places, self._info.restore(moved) - places

    def finish(self, record: Record) -> list[Path]:
        """Write the file."""
        states = torch.stack([torch.cat(parts) for parts in self._states])
        about = {**record, "seeds": compact(self._seeds), "frames": len(self._chosen)}
        write = {".npz": self._npz, ".safetensors": self._safetensors, ".gif": self._gif}
        data = write.get(self._suffix, self._picture)(states, about)
        return targets.put(self._path, data, Existing(self._force))

    def _tensors(self, states: Tensor) -> dict[str, Tensor]:
        sigmas, alphas = torch.tensor(self._levels, dtype=torch.float64).T.contiguous()
        seeds = torch.tensor(self._seeds, dtype=torch.int64)
        return {"states": states, "sigmas": sigmas, "alphas": alphas, "seeds": seeds}

    def _npz(self, states: Tensor, about: Record) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            numbers.add_arrays(archive, {k: v.numpy() for k, v in self._tensors(states).items()})
            numbers.add_arrays(archive, {METADATA_KEY: np.array(json.dumps(about))})
        return buffer.getvalue()

    def _safetensors(self, states: Tensor, about: Record) -> bytes:
        tensors = {name: tensor.contiguous() for name, tensor in self._tensors(states).items()}
        return safetensors.save(tensors, {METADATA_KEY: json.dumps(about, sort_keys=True)})

    def _picture(self, states: Tensor, about: Record) -> bytes:
        """A strip, a level beside the other."""
        sigmas = [sigma for sigma, _ in self._levels]
        strip = self._stills.strip(states, sigmas, self._fields)
        return encoding.encode(strip, self._path, about)

    def _gif(self, states: Tensor, about: Record) -> bytes:
        """A film that stays at its end for a while and starts again."""
        return encode_gif(self._stills.film(states, [sigma for sigma, _ in self._levels]), about)


def uses(path: Path | None, info: DataInfo) -> tuple[str, ...]:
    """What of a layout the file of a trajectory shows."""
    suffix = path.suffix.lower() if path is not None and info.is_image else ""
    return {".gif": ("columns", "zoom")}.get(suffix, ("zoom",) if suffix in DEFAULT_FRAMES else ())


@torch.no_grad()
def drift(denoise: Denoise, native: Tensor, sigma: Tensor, batch: int) -> Tensor:
    """mu(x_t) - x_t in the native scale: where one trained step moves x_t [N, D] on average.

    With t -> s one of T (or of 1000) steps, mu = alpha_s (x0 + (s / t)^2 (x - x0)) at
    x = x_t / alpha_t (Ho 2020, eq. 7). A denoiser with bound conditions takes whole batches.
    """
    schedule = denoise.schedule
    low, x = schedule.previous(sigma), schedule.from_native(native, sigma)
    padded = torch.cat([x, x[:1].expand(-len(x) % batch, -1)])
    clean = [denoise(part, sigma).guided(float(sigma)) for part in torch.split(padded, batch)]
    x0 = torch.cat(clean)[: len(x)]
    mean = x0 + float(low / sigma) ** 2 * (x - x0)
    return schedule.native(mean, low) - native
