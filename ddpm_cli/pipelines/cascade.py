"""Cascades: samples of one model enlarged by the next (Ho 2022), or vectors made images."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.records import Record
from ddpm_cli.hardware import Compute
from ddpm_cli.models import classes, memory, saved, walk_parts
from ddpm_cli.models import cost as planning
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import decoder, opening_upscale, restorer, sizes
from ddpm_cli.pipelines.decoder import Decoder
from ddpm_cli.pipelines.opening import UPSCALE, Opened
from ddpm_cli.pipelines.restorer import Restorer, Row
from ddpm_cli.pipelines.sizes import Shape
from ddpm_cli.settings.config import resolve
from ddpm_cli.settings.request_parts import Draw


class Cascade(NamedTuple):
    """The stages behind a base model, if any.

    base: its name; shape: of what the last stage makes; windows: of which each stage makes one
    result; noise: the level of noise that each stage adds to what it enlarges; shrinks: whether
    it first shrinks what is larger than it takes; info: of the model that makes the results.
    """

    base: str
    shape: Shape
    info: DataInfo
    stages: Sequence[Opened]
    windows: Sequence[int]
    noise: float
    shrinks: bool

    def refuse(self, asked: Asked) -> None:
        """Refuse what a stage cannot be told, of what the base is."""
        label = asked.names([0])
        for stage in self.stages:
            _told(stage, asked.alone(0), label[0] if label else None, asked.negative)

    @property
    def cost(self) -> str:
        """What there is to say of the stages before they run."""
        return "".join(map(_cost, self.stages))

    @property
    def calls(self) -> int | None:
        """Network calls of all stages for an image; None if one takes as many as it needs."""
        total = 0
        for stage, windows in zip(self.stages, self.windows, strict=True):
            calls = planning.counted(stage.config, _schedule(stage)).calls
            if calls is None:
                return None
            total += calls * windows
        return total

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of the stages, so that it can be made again."""
        if not self.stages:
            return {}
        return {
            "model": ",".join([self.base, *(stage.place.name for stage in self.stages)]),
            "stages": [stage.header.hash for stage in self.stages],
            "stage": len(self.stages),
        }

    def loaded(
        self, compute: Compute, scale: Scale, total: int, size: int, negative: str | None
    ) -> "Loaded":
        """The stages with their weights on a device; scale: of the pixels between them.

        negative: what guidance is away from.  Of `total` samples at most `size` rows are computed
        at once; too many are refused.
        """
        models = [_loaded(stage, compute, size) for stage in self.stages]
        for one, windows in zip(models, self.windows, strict=True):
            memory.refuse_large(one.model, min(size, total * windows))
        return Loaded(self.stages, models, self.noise, self.shrinks, scale, negative)


class Loaded(NamedTuple):
    """The models of a cascade behind its base."""

    stages: Sequence[Opened]
    models: list[Restorer | Decoder]
    noise: float
    shrinks: bool
    scale: Scale
    negative: str | None

    def counting(self, count: Callable[[int], None]) -> "Loaded":
        """The same, which says of each network call how many rows it has."""
        counted = [stage._replace(model=stage.model.counting(count)) for stage in self.models]
        return self._replace(models=counted)

    def __call__(
        self,
        x: Tensor,
        seeds: Sequence[int],
        labels: Sequence[str] | None,
        told: Sequence[Record],
    ) -> Tensor | None:
        """Enlarge samples x [B, ...] in [-1, 1], each stage with noise of its own from a seed.

        Vectors [B, D] become images first.  labels: the names of classes; told: what else records
        say of each sample.  None if the process was asked to stop.
        """
        made: Tensor | None = x
        pairs = zip(self.stages, self.models, strict=True)
        for stage, (opened, one) in enumerate(pairs, 1):
            names: Sequence[str | None] = labels or [None] * len(seeds)
            asked = [_told(opened, *own, self.negative) for own in zip(told, names, strict=True)]
            alike = [own.alike() for own in asked]
            if isinstance(one, Decoder):
                made = one(x, seeds, alike, stage)
            else:
                made = self._enlarged(x, seeds, alike, opened, one, stage)
            if made is None:
                return None
            x = made
        return x

    def _enlarged(
        self,
        x: Tensor,
        seeds: Sequence[int],
        told: Sequence[tuple[Conditions, Conditions]],
        opened: Opened,
        upscale: Restorer,
        stage: int,
    ) -> Tensor | None:
        """Images x [B, C, H, W] in [-1, 1] enlarged by one stage."""
        lows = self.scale.pixels(x)  # as files between the stages would hold them
        if self.shrinks:
            to = sizes.brought_down(tuple(lows.shape[1:]), upscale.operator.shape)
            how = (to, opened.config, self.scale)
            lows = torch.stack([sizes.shrunk(low, *how) for low in lows])
        shape = upscale.whole(tuple(lows.shape[1:]))
        rows = [
            Row(low, shape, seed, *own, self.noise, stage, self.scale)
            for low, seed, own in zip(lows, seeds, told, strict=True)
        ]
        restored = upscale(rows)
        return None if restored is None else self.scale.values(torch.stack(restored.images))


def planned(names: Sequence[str], base: Place, info: DataInfo, draw: Draw) -> Cascade:
    """The cascade of a base model and those behind it; what does not fit is refused."""
    idle = [f"--aug-noise {draw.aug_noise:g}"] if draw.aug_noise else []
    idle += ["--downscale"] if draw.is_downscaled else []
    if idle and not names:
        raise ConfigError(f"{idle[0]}: only with a second model, as in -m base,large")
    before, shape, made = base.name, info.row, info
    stages, windows = list[Opened](), list[int]()
    for name in names:
        stage, shape, count = _stage(name, before, shape, draw.is_downscaled)
        if draw.aug_noise:
            opening_upscale.refuse_noise(draw.aug_noise, stage.header)
        made = stage.header.data
        stages.append(stage)
        windows.append(count)
        before = stage.place.name
    return Cascade(base.name, shape, made, stages, windows, draw.aug_noise, draw.is_downscaled)


def _stage(name: str, before: str, shape: Shape, shrinks: bool) -> tuple[Opened, Shape, int]:
    """The model of that name as a stage behind `before`, the shape of its results, their windows.

    shape: of what `before` makes, which may be larger than what the stage was trained to enlarge.
    """
    place, header = opening_upscale.restorer(name, "auto", UPSCALE)
    large = header.data.shape
    if "vector" in header.config and not header.task:
        size = (header.config["vector"]["size"],)
        if shape != size:
            raise _misfit(before, shape, place, f"vectors of {size[0]} values", "decodes")
        return Opened(place, header, resolve([header.layer(str(place.path))])), large, 1
    if not header.task and (len(shape) != 3 or len(large) != 3 or large[-1] <= shape[-1]):
        raise _misfit(before, shape, place, "smaller images")
    factor = None if header.task else large[-1] / shape[-1]
    layer = opening_upscale.operator(header, UPSCALE, factor)
    config = resolve([header.layer(str(place.path)), layer])
    takes = walk_parts.operator(config, header.data).shape
    fits = len(takes) == len(shape) and takes[0] == shape[0]
    if not fits or any(side < least for side, least in zip(shape, takes, strict=True)):
        raise _misfit(before, shape, place, _shown(takes))
    low = sizes.brought_down(shape, takes) if shrinks else shape
    count = 1
    if low != takes:
        large = sizes.larger(low, takes, large, config)
        count = sizes.windows_of(before, large, header.data.shape)
        told = f"{place.name} was trained on {_shown(takes)}"
        console.say(f"{told}: enlarges {_shown(low)} by {count} windows")
    return Opened(place, header, config), large, count


def _loaded(stage: Opened, compute: Compute, size: int) -> Restorer | Decoder:
    if "operator" in stage.config:
        return restorer.opened(stage, compute, exact=False, size=size)
    return decoder.opened(stage, compute)


def _misfit(
    before: str, shape: Shape, place: Place, takes: str, does: str = "enlarges"
) -> Refusal:
    fix = "name models of which each takes what the one before makes"
    return Refusal(f"-m: {before} makes {_shown(shape)}, {place.name} {does} {takes}", fix)


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _schedule(stage: Opened) -> Schedule:
    return saved.schedule_of(stage.header, stage.place.path)


def _cost(stage: Opened) -> str:
    moves, calls, *_ = planning.plan(stage.config, _schedule(stage))
    return f"; then {stage.place.name}, {moves} steps, {calls or 'any number of'} network calls"


def _told(stage: Opened, own: Record, label: str | None, negative: str | None) -> Asked:
    """What a stage is told of an image: no class, numbers or text that it was not trained with.

    own: what a record says of the image; negative: what guidance is away from.
    """
    name = restorer.class_of(None, {"classes": [label]}, stage)
    config, info = stage.config, stage.header.data
    classes.one(name, config, info)
    return Asked.of(restorer.told(own, negative, stage), config, info, name)
