"""Cascades: samples of one model enlarged by the next (Ho 2022)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.checkpoints.header import DataInfo, Header
from ddpm_cli.files.images.pixels import from_uint8, to_uint8
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes
from ddpm_cli.models import cost as planning
from ddpm_cli.pipelines import upscale
from ddpm_cli.pipelines.upscale import UPSCALE, Row, Upscaler
from ddpm_cli.settings.config import Config, Layer, resolve


class Stage(NamedTuple):
    """A model that enlarges what the one before it made, with the settings of its checkpoint."""

    found: Found
    header: Header
    config: Config


class Cascade(NamedTuple):
    """The stages behind a base model, if any.

    base: its name; small: the shape of what it makes; noise: the level of noise that each stage
    adds to what it enlarges.
    """

    base: str
    small: tuple[int, ...]
    stages: list[Stage]
    noise: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what the last stage makes."""
        return self.stages[-1].header.data.shape if self.stages else self.small

    @property
    def cost(self) -> str:
        """What there is to say of the stages before they run."""
        return "".join(map(_cost, self.stages))

    @property
    def record(self) -> dict[str, Any]:
        """What a result says of the stages, so that it can be made again."""
        if not self.stages:
            return {}
        return {
            "model": ",".join([self.base, *(stage.found.name for stage in self.stages)]),
            "stages": [stage.header.hash for stage in self.stages],
            "stage": len(self.stages),
        }

    def loaded(self, compute: Compute) -> "Loaded":
        """The stages with their weights on a device."""
        return Loaded(
            [
                upscale.load(stage.found, stage.config, compute, UPSCALE, exact=False)
                for stage in self.stages
            ],
            self.noise,
        )


class Loaded(NamedTuple):
    """The models of a cascade behind its base."""

    upscalers: list[Upscaler]
    noise: float

    def __call__(
        self, x: Tensor, seeds: Sequence[int], labels: Sequence[str] | None
    ) -> Tensor | None:
        """Enlarge samples x [B, ...] in [-1, 1], each stage with noise of its own from a seed.

        labels: the names of classes.  None if the process was asked to stop.
        """
        for stage, upscaler in enumerate(self.upscalers, 1):
            lows = to_uint8(x)  # as files between the stages would hold them
            rows = [
                Row(low, seed, _number(upscaler, labels[i] if labels else None), self.noise, stage)
                for i, (low, seed) in enumerate(zip(lows, seeds, strict=True))
            ]
            made = upscaler(rows)
            if made is None:
                return None
            x = from_uint8(made.images)
        return x


def split(model: str | None) -> tuple[str | None, list[str]]:
    """The first model that -m names, and those that follow behind commas."""
    if model is None or "," not in model or Path(model).exists():
        return model, []
    first, *later = model.split(",")
    return first, later


def planned(names: Sequence[str], base: Found, info: DataInfo, noise: float) -> Cascade:
    """The cascade of a base model and those behind it; what does not fit is refused."""
    cascade = Cascade(base.name, info.shape, [], noise)
    if noise and not names:
        raise ConfigError(f"--aug-noise {noise:g}: only with a second model, as in -m base,large")
    before = base.name
    for name in names:
        stage = _stage(name, before, cascade.shape)
        if noise:
            upscale.check_noise([noise], stage.header)
        cascade.stages.append(stage)
        before = stage.found.name
    return cascade


def _stage(name: str, before: str, shape: tuple[int, ...]) -> Stage:
    """The model of that name as a stage behind the model `before`, which makes a shape."""
    found, header = upscale.choose(name, "auto", UPSCALE)
    large = header.data.shape
    if not header.task and (len(shape) != 3 or len(large) != 3 or large[-1] <= shape[-1]):
        raise _misfit(before, shape, found, "smaller images")
    own = upscale.layer(header, UPSCALE, None if header.task else large[-1] / shape[-1])
    config = resolve([Layer(str(found.path), header.config), own])
    takes = upscale.operator(config, header.data, UPSCALE).shape
    if takes != shape:
        raise _misfit(before, shape, found, _shown(takes))
    return Stage(found, header, config)


def _misfit(before: str, shape: tuple[int, ...], found: Found, takes: str) -> Refusal:
    fix = "name models of which each takes what the one before makes"
    return Refusal(f"-m: {before} makes {_shown(shape)}, {found.name} enlarges {takes}", fix)


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _cost(stage: Stage) -> str:
    schedule = build.schedule_of(stage.header, stage.found.path)
    moves, calls = planning.plan(stage.config, schedule)
    return f"; then {stage.found.name}, {moves} steps, {calls or 'any number of'} network calls"


def _number(upscaler: Upscaler, label: str | None) -> int | None:
    """The number that a stage knows a class by; the null class if it does not."""
    config, info = upscaler.config, upscaler.info
    name = upscale.class_of(None, {"classes": [label]}, config, info)
    return classes.one(name, config, info)
