"""Cascades: samples of one model enlarged by the next (Ho 2022)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.records import Record
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, memory
from ddpm_cli.models import cost as planning
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import opening, restorer
from ddpm_cli.pipelines.opening import UPSCALE, Opened
from ddpm_cli.pipelines.restorer import Restorer, Row, Shape
from ddpm_cli.settings.config import resolve
from ddpm_cli.settings.requests import Draw


class Cascade(NamedTuple):
    """The stages behind a base model, if any.

    base: its name; shape: of what the last stage makes; windows: of which each stage makes one
    result; noise: the level of noise that each stage adds to what it enlarges; shrinks: whether
    it first shrinks what is larger than it takes.
    """

    base: str
    shape: Shape
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
            calls = planning.counted(stage.config, _schedule(stage))[1]
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
        load = partial(restorer.opened, compute=compute, exact=False, size=size)
        upscalers = [load(stage) for stage in self.stages]
        for upscale, windows in zip(upscalers, self.windows, strict=True):
            memory.refuse_large(upscale.model, min(size, total * windows))
        return Loaded(self.stages, upscalers, self.noise, self.shrinks, scale, negative)


class Loaded(NamedTuple):
    """The models of a cascade behind its base."""

    stages: Sequence[Opened]
    upscalers: list[Restorer]
    noise: float
    shrinks: bool
    scale: Scale
    negative: str | None

    def counting(self, count: Callable[[int], None]) -> "Loaded":
        """The same, which says of each network call how many rows it has."""
        counted = [stage._replace(model=stage.model.counting(count)) for stage in self.upscalers]
        return self._replace(upscalers=counted)

    def __call__(
        self,
        x: Tensor,
        seeds: Sequence[int],
        labels: Sequence[str] | None,
        told: Sequence[Record],
    ) -> Tensor | None:
        """Enlarge samples x [B, ...] in [-1, 1], each stage with noise of its own from a seed.

        labels: the names of classes; told: what else records say of each sample.  None if the
        process was asked to stop.
        """
        pairs = zip(self.stages, self.upscalers, strict=True)
        for stage, (opened, upscale) in enumerate(pairs, 1):
            lows = self.scale.pixels(x)  # as files between the stages would hold them
            if self.shrinks:
                to = restorer.brought_down(tuple(lows.shape[1:]), upscale.operator.shape)
                how = (to, opened.config, self.scale)
                lows = torch.stack([restorer.shrunk(low, *how) for low in lows])
            names: Sequence[str | None] = labels or [None] * len(seeds)
            asked = [_told(opened, *own, self.negative) for own in zip(told, names, strict=True)]
            rows = [
                Row(low, seed, *own.alike(), self.noise, stage, self.scale)
                for low, seed, own in zip(lows, seeds, asked, strict=True)
            ]
            restored = upscale(rows)
            if restored is None:
                return None
            x = self.scale.values(torch.stack(restored.images))
        return x


def planned(names: Sequence[str], base: Place, info: DataInfo, draw: Draw) -> Cascade:
    """The cascade of a base model and those behind it; what does not fit is refused."""
    idle = [f"--aug-noise {draw.aug_noise:g}"] if draw.aug_noise else []
    idle += ["--downscale"] if draw.is_downscaled else []
    if idle and not names:
        raise ConfigError(f"{idle[0]}: only with a second model, as in -m base,large")
    before, shape = base.name, info.row
    stages, windows = list[Opened](), list[int]()
    for name in names:
        stage, shape, count = _stage(name, before, shape, draw.is_downscaled)
        if draw.aug_noise:
            opening.refuse_noise(draw.aug_noise, stage.header)
        stages.append(stage)
        windows.append(count)
        before = stage.place.name
    return Cascade(base.name, shape, stages, windows, draw.aug_noise, draw.is_downscaled)


def _stage(name: str, before: str, shape: Shape, shrinks: bool) -> tuple[Opened, Shape, int]:
    """The model of that name as a stage behind `before`, the shape of its results, their windows.

    shape: of what `before` makes, which may be larger than what the stage was trained to enlarge.
    """
    place, header = opening.restorer(name, "auto", UPSCALE)
    large = header.data.shape
    if not header.task and (len(shape) != 3 or len(large) != 3 or large[-1] <= shape[-1]):
        raise _misfit(before, shape, place, "smaller images")
    factor = None if header.task else large[-1] / shape[-1]
    layer = opening.operator(header, UPSCALE, factor)
    config = resolve([header.layer(str(place.path)), layer])
    takes = build.operator(config, header.data).shape
    fits = len(takes) == len(shape) and takes[0] == shape[0]
    if not fits or any(side < least for side, least in zip(shape, takes, strict=True)):
        raise _misfit(before, shape, place, _shown(takes))
    low = restorer.brought_down(shape, takes) if shrinks else shape
    count = 1
    if low != takes:
        large = restorer.larger(low, takes, large, config)
        count = restorer.windows_of(before, large, header.data.shape)
        told = f"{place.name} was trained on {_shown(takes)}"
        console.say(f"{told}: enlarges {_shown(low)} by {count} windows")
    return Opened(place, header, config), large, count


def _misfit(before: str, shape: Shape, place: Place, takes: str) -> Refusal:
    fix = "name models of which each takes what the one before makes"
    return Refusal(f"-m: {before} makes {_shown(shape)}, {place.name} enlarges {takes}", fix)


def _shown(shape: Shape) -> str:
    return "x".join(map(str, shape))


def _schedule(stage: Opened) -> Schedule:
    return build.schedule_of(stage.header, stage.place.path)


def _cost(stage: Opened) -> str:
    moves, calls = planning.plan(stage.config, _schedule(stage))
    return f"; then {stage.place.name}, {moves} steps, {calls or 'any number of'} network calls"


def _told(stage: Opened, own: Record, label: str | None, negative: str | None) -> Asked:
    """What a stage is told of an image: no class, numbers or text that it was not trained with.

    own: what a record says of the image; negative: what guidance is away from.
    """
    name = restorer.class_of(None, {"classes": [label]}, stage)
    config, info = stage.config, stage.header.data
    classes.one(name, config, info)
    return Asked.of(restorer.told(own, negative, stage), config, info, name)
