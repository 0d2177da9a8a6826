"""What Python callers may give: settings, seeds, classes and images, checked as options are."""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.files.images.pixels import from_uint8
from ddpm_cli.models import classes
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings import recipes
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.seeds import LIMIT

_P = ParamSpec("_P")
_R = TypeVar("_R")

ROUNDED = 1e-6  # more than float32 is off by in [-1, 1]

Classes = str | int | Sequence[str | int] | None
Settings = Mapping[str, Any]


def refusing(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what the command line would refuse be a ValueError of the same text, and be quiet."""

    @wraps(function)
    def call(*arguments: _P.args, **options: _P.kwargs) -> _R:
        try:
            with console.silenced():
                return function(*arguments, **options)
        except Refusal as refusal:
            raise ValueError(refusal.message) from None

    return call


def layers(settings: Settings | None) -> list[Layer]:
    """Settings by tables or dotted keys, {"sampler": {"eta": 0.5}} or {"sampler.eta": 0.5}."""
    parts: list[dict[str, Any]] = []
    for key, value in (settings or {}).items():
        table, dot, knob = str(key).partition(".")
        parts.append({table: {knob: value}} if dot else {table: value})
    merged = configuration.merge(parts)
    return recipes.expand([Layer("settings", merged)]) if merged else []


def seeds(values: Sequence[int] | int) -> list[int]:
    """Seeds as whole numbers from 0 to 2^32 - 1."""
    listed = [values] if isinstance(values, int) else list(values)
    for seed in listed:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < LIMIT:
            raise ConfigError(
                f"seeds: {seed!r} is no seed; give whole numbers from 0 to {LIMIT - 1}"
            )
    if not listed:
        raise ConfigError("seeds: there is none; give one or more")
    return listed


def numbers(
    classes_of: Classes, seeds: Sequence[int], config: Config, info: DataInfo, *, is_drawn: bool
) -> list[int] | None:
    """The number of the class of each image, None for a model without classes.

    classes_of: what --class takes, for all of them, or a name or number for each; None draws the
    class from the seed if `is_drawn`, and else is the null class.
    """
    if classes_of is None or isinstance(classes_of, (str, int)):
        label = None if classes_of is None else str(classes_of)
        label = label if is_drawn else classes.fixed(label, config)
        return classes.numbers(label, seeds, config, info)
    return [classes.one(label, config, info) or 0 for label in labels(classes_of, len(seeds))]


def labels(classes: Classes, count: int) -> list[str | None]:
    """What --class says for each of so many images: the same for all, or one for each."""
    if classes is None or isinstance(classes, (str, int)):
        return [None if classes is None else str(classes)] * count
    if len(classes) != count:
        raise ConfigError(f"classes: {len(classes)} for {count} images; give one for each")
    return [str(label) for label in classes]


def images(values: Tensor, shape: Sequence[int], name: str = "images") -> Tensor:
    """Images [B, *shape], bytes or floats in [-1, 1], as float32; others are refused."""
    if not isinstance(values, Tensor):
        raise ConfigError(f"{name}: {type(values).__name__}; give a tensor")
    if values.ndim != len(shape) + 1 or tuple(values.shape[1:]) != tuple(shape) or not len(values):
        have, want = shown(values.shape), shown(("N", *shape))
        raise ConfigError(f"{name}: of shape {have}, the model takes {want}")
    if values.dtype == torch.uint8:
        return from_uint8(values)
    if not values.is_floating_point():
        raise ConfigError(f"{name}: of {values.dtype}; give bytes (uint8) or floats in [-1, 1]")
    if not bool(values.isfinite().all()):
        raise ConfigError(f"{name}: values that are not finite")
    if len(shape) == 3 and float(values.abs().max()) > 1 + 1e-4:
        most = float(values.abs().max())
        fix = "floats are in [-1, 1], bytes are uint8"
        raise ConfigError(f"{name}: values up to {most:.3g}; {fix}")
    return values.float()


def on_levels(x0: Tensor, bits: int) -> Tensor:
    """Images float64 in [-1, 1] that float32 rounded, on their levels again."""
    top = 2**bits - 1
    exact = ((x0 + 1) * (top / 2)).round() * (2 / top) - 1
    return torch.where((exact - x0).abs() < ROUNDED, exact, x0)


def refuse_other_shape(name: str, values: Tensor, shape: Sequence[int]) -> None:
    """Refuse what are not floats [B, *shape]."""
    if not isinstance(values, Tensor):
        raise ConfigError(f"{name}: {type(values).__name__}; give a tensor")
    if tuple(values.shape[1:]) != tuple(shape) or not values.is_floating_point():
        have, want = shown(values.shape), shown(("N", *shape))
        raise ConfigError(f"{name}: {values.dtype} of shape {have}, the model takes floats {want}")


def page(values: Tensor, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape in which images of any size are edited: at least the model's own [C, H, W]."""
    if not isinstance(values, Tensor) or values.ndim != 4:
        return tuple(shape)
    return shape[0], max(shape[1], values.shape[2]), max(shape[2], values.shape[3])


def holes(values: Tensor, x: Tensor) -> Tensor:
    """Masks [H, W], [B, H, W] or [B, 1, H, W] of images x, nonzero where made anew: bool."""
    if not isinstance(values, Tensor):
        raise ConfigError(f"masks: {type(values).__name__}; give a tensor")
    planes = values != 0
    planes = planes[None] if planes.ndim == 2 else planes
    planes = planes[:, None] if planes.ndim == 3 else planes
    want = (len(x), 1, *x.shape[-2:])
    if planes.ndim != 4 or tuple(planes.shape[1:]) != want[1:] or len(planes) not in (1, len(x)):
        raise ConfigError(f"masks: of shape {shown(values.shape)}, the images need {shown(want)}")
    return planes.expand(want)


def shown(shape: Sequence[Any]) -> str:
    """A shape in words."""
    return "x".join(map(str, shape))
