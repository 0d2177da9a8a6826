"""A checkpoint brought to life: its settings, its denoiser, and walks of batches with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion import guidance
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.denoiser import Bindable, Counted, Denoise, Denoiser
from ddpm_cli.diffusion.guidance import Pair
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import sent
from ddpm_cli.diffusion.steps import State
from ddpm_cli.diffusion.walk import start
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints import checkpoint, level_fits, moments
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.checkpoints.moments import Fit
from ddpm_cli.hardware import Compute
from ddpm_cli.models import kinds, out_of_memory, saved, second, walk_parts, walks
from ddpm_cli.models.second import Second
from ddpm_cli.models.twins import SEED
from ddpm_cli.models.walks import Batch, Chunk, Walk
from ddpm_cli.settings import checks, passes
from ddpm_cli.settings.checks import JUDGES
from ddpm_cli.settings.config import Config


class Model(NamedTuple):
    """A checkpoint and the settings that it is used with; name: how -m finds it again.

    second: what its guidance asks beside it.
    """

    name: str
    header: Header
    config: Config
    compute: Compute
    denoiser: Bindable
    second: Second = Second()

    @property
    def info(self) -> DataInfo:
        """What the network was trained on."""
        return self.header.data

    @property
    def schedule(self) -> Schedule:
        """The process that the network was trained on."""
        return self.denoiser.schedule

    @property
    def randomness(self) -> Randomness:
        """How seeds become numbers."""
        return Randomness(self.compute.rng)

    def counting(
        self,
        count: Callable[[int], None],
        differentiated: Callable[[int], None] | None = None,
    ) -> "Model":
        """The same model, which says of each network call how many rows it has, as to a bar.

        Two passes of guidance are two rows. differentiated: is told so of each gradient through
        a call.
        """
        counted = Counted(self.denoiser, count, differentiated)
        return self._replace(denoiser=counted, second=self.second.counted(count, differentiated))

    def prepared(self, top: Tensor | None = None) -> Walk:
        """The walk of the model's settings, from the level `top` if not from the highest."""
        return walks.prepared(self.config, self.schedule, top)

    def bound(
        self, conditions: Conditions, against: Mapping[str, Tensor] = MappingProxyType({})
    ) -> Denoise:
        """The denoiser that sees these conditions, guided away from their nulls if that is set.

        Guidance moves between the predictions with and without what is told (Ho 2022), or from
        those of a worse model. against: what it is away from instead of a null.
        """
        device = self.compute.device
        seed = conditions.get(SEED)
        seen = {kind: sent(rows, device) for kind, rows in conditions.items() if kind != SEED}
        if "strength" in self.config and seen:
            seen["strength"] = self._strength(next(iter(seen.values())))
        settings = passes.two_passes(self.config)
        if not passes.is_guiding(settings):
            return self.denoiser.bind(**seen)
        heard = self.second.towards(seen, seed)
        plain = heard or self.denoiser.bind(**seen)
        away = self.second.away(seen, seed)
        if away is not None:
            return guidance.guidance(Pair.of_two(plain, away), **walk_parts.guided(settings))
        nulls, drops = kinds.nulls(self.config, self.info), checks.told(self.config)
        told = {kind: seen[kind] for kind in nulls if kind in seen and drops.get(kind)}
        if not told:  # what training always told has no null
            return plain
        instead = {kind: sent(rows, device) for kind, rows in against.items()}
        null = seen | kinds.untold(nulls, told) | instead
        pair = Pair.of_nulls(self.denoiser, seen, null)
        if heard is not None:
            pair = Pair.of_two(heard, self.denoiser.bind(**null))
        return guidance.guidance(pair, **walk_parts.guided(settings))

    def _strength(self, rows: Tensor) -> Tensor:
        """How strongly it is guided, as a network that is told so sees it: [B, 1]."""
        scale = self.config.get("guidance", {}).get("scale", 1.0)
        return torch.full((len(rows), 1), scale, device=rows.device)

    def parts(self, walk: Walk, count: int) -> Iterator[slice]:
        """Rows of a batch that walk together.

        A solver whose steps follow the image must not see what else is in the batch.
        """
        size = 1 if walk.is_adaptive else count
        return (slice(row, row + size) for row in range(0, count, size))

    def placed(self, x: Tensor) -> Tensor:
        """Values on the model's device, in the number format of a walk's state."""
        return x.to(self.compute.device, self.compute.state_dtype)

    def draw(self, batch: Batch, walk: Walk) -> Chunk:
        """The walk of one batch; image i depends on its own row alone."""
        begins, ways, noise = [], [], batch.noise or batch.seeds
        for rows in self.parts(walk, len(batch.seeds)):
            seeds = noise[rows]
            seen = {kind: values[rows] for kind, values in batch.conditions.items()}
            drawn = kinds.drawn(self.config, seeds, self.randomness)
            against = {kind: values[rows] for kind, values in batch.against.items()}
            own = batch.bound(rows, drawn) if batch.bound else self.bound(seen | drawn, against)
            denoise, way, method = walk.wrap(own), walk, None
            if batch.method is not None:
                method = batch.method(rows)
                denoise, way = method.wrap(denoise) if method.wrap else denoise, walk.by(method)
                denoise = walk.wrap(denoise) if method.is_mean else denoise
            if batch.wrap is not None:
                denoise = batch.wrap(denoise, rows)
            rng = self.randomness.rng(seeds)
            if batch.start is None:
                like = self.placed(torch.empty(len(seeds), *(batch.shape or self.info.shape)))
                x = start(denoise, walk.levels, like, rng)
            else:
                x = self.placed(batch.start[rows])
            constrain = batch.constraint(rows) if batch.constraint else None
            constrain = constrain or (method.constrain if method else None)
            begins.append(State(x, walk.levels[0], x))
            ways.append(way.states(denoise, x, rng, constrain, batch.population))
        states = out_of_memory.within(map(walks.joined, zip(*ways, strict=True)), len(batch.seeds))
        classes = batch.conditions.get("classes")
        numbers = None if classes is None else classes.tolist()
        chunk = Chunk(list(batch.seeds), numbers, states, walks.joined(begins), denoise)
        return chunk if batch.population is None else walks.picked(chunk, batch.population)

    def chunks(
        self,
        seeds: Sequence[int],
        size: int,
        batch: Callable[[Sequence[int]], Batch],
        walk: Walk | None = None,
    ) -> Iterator[Chunk]:
        """One walk for each `size` seeds; `batch` says what those of some seeds need."""
        walk = walk or self.prepared()
        for first in range(0, len(seeds), size):
            yield self.draw(batch(seeds[first : first + size]), walk)

    def to_values(self, pixels: Tensor) -> Tensor:
        """Pixels [B, C, H, W] as the network's values: float32 in [-1, 1]."""
        return self.info.scale.values(pixels)

    def to_pixels(self, values: Tensor) -> Tensor:
        """Images [B, C, H, W] in [-1, 1] as pixels of the model's data."""
        return self.info.scale.pixels(values)

    def record(
        self, command: str, batch: int, *, label: str | None, words: Sequence[str]
    ) -> dict[str, Any]:
        """What a result must say so that the same one can be made again; see provenance."""
        made = provenance.record(
            command,
            self.name,
            self.header,
            self.config,
            self.compute,
            batch,
            label=label,
            arguments=words,
        )
        return made | ({"guide": self.second.hash} if self.second.hash else {})


def opened(
    place: Place,
    config: Config,
    compute: Compute | None = None,
    *,
    moments_file: Path | None = None,
) -> Model:
    """The model of a checkpoint, to be walked with as a configuration says.

    compute: where, if not on the device that the configuration names; moments_file: moments of
    the model, if not those beside it.
    """
    chosen = compute or hardware.compute(**config["compute"])
    header, denoiser = restored(place, chosen)
    known = saved.known(denoiser, fitted(config, header, place, moments_file))
    beside = second.made(config, denoiser, chosen)
    return Model(place.name, header, level_fits.inlined(config), chosen, known, beside)


def restored(place: Place, compute: Compute) -> tuple[Header, Denoiser]:
    """The denoiser of a checkpoint on a device, and the header."""
    header, weights = checkpoint.load(place.path, str(compute.device))
    return header, saved.restored(header, weights, compute, place.path)


def trained(place: Place, compute: Compute) -> Trained:
    """The denoiser or the classifier of a checkpoint on a device."""
    header, weights = checkpoint.load(place.path, str(compute.device))
    make = saved.classifier if checks.purpose(header.config) in JUDGES else saved.restored
    return make(header, weights, compute, place.path)


def fitted(config: Config, header: Header, place: Place, file: Path | None = None) -> Fit | None:
    """The moments of the model if a sampler's variance needs them: `file`, or those beside it."""
    if config["sampler"].get("variance") == "optimal":
        return moments.load(file or moments.beside(place.path), header, place.name)
    if file is not None:
        raise ConfigError("--moments: only of use with --set sampler.variance=optimal")
    return None
