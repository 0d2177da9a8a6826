"""What Python callers may give: settings, seeds, classes and images, checked as options are."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from operator import index
from typing import Any, Literal, ParamSpec, TypeVar, get_args

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.api.wording import spoken
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.models import classes
from ddpm_cli.pipelines.rows import scaled
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings import peers, recipes
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Dequantize, Method, Nll, Trace
from ddpm_cli.settings.seeds import LIMIT

_P = ParamSpec("_P")
_R = TypeVar("_R")

_WHOLE = (torch.uint16, torch.int16, torch.int32, torch.int64)
ROUNDED = 1e-6  # more than float32 is off by in [-1, 1]

Classes = str | int | Sequence[str | int] | None
Settings = Mapping[str, Any]
Seed = int | Sequence[int]
Known = Literal[
    "replace", "posterior", "repaint", "ddnm", "ddnm+", "ddrm", "pigdm", "dps", "diffpir", "mmps",
    "daps",
]  # fmt: skip
Filling = Literal["auto", "model", "covariance", Known]
Restoring = Literal["auto", "model", "zero-shot", Known]
Undone = Literal["upscale", "colorize", "deblur", "jpeg"]


def refusing(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let what the command line would refuse be a ValueError in words of Python, and be quiet."""

    @wraps(function)
    def call(*arguments: _P.args, **options: _P.kwargs) -> _R:
        with spoken(function), console.silenced():
            return function(*arguments, **options)

    return call


def layers(settings: Settings | None) -> list[Layer]:
    """Settings by tables or dotted keys, {"sampler": {"eta": 0.5}} or {"sampler.eta": 0.5}."""
    if not isinstance(settings, Mapping | None):
        what = type(settings).__name__
        raise ConfigError(f"settings: {what}; give a dictionary of keys as sampler.eta")
    parts: list[dict[str, Any]] = []
    for key, value in (settings or {}).items():
        table, dot, knob = str(key).partition(".")
        value = _plain(value)
        parts.append({table: {knob: value}} if dot else {table: value})
    merged = configuration.merge(parts)
    return recipes.expand([Layer("settings", merged)]) if merged else []


def _plain(value: Any) -> Any:
    """A setting as TOML would give it: ranges are lists, numbers of any library plain."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, str, int, float)) or value is None:
        return value
    return value.item() if hasattr(value, "item") else str(value).removeprefix("torch.")


def seeds(values: Sequence[int] | int, name: str = "seeds") -> list[int]:
    """Seeds as whole numbers from 0 to 2^32 - 1; name: of the parameter."""
    listed = [_seed(value, name) for value in _listed(values)]
    if not listed:
        raise ConfigError(f"{name}: there is none; give one or more")
    return listed


def _seed(value: Any, name: str) -> int:
    number = _whole(value)
    if number is None or not 0 <= number < LIMIT:
        fix = f"give whole numbers from 0 to {LIMIT - 1}"
        raise ConfigError(f"{name}: {value!r} is no seed; {fix}")
    return number


def count(name: str, value: Any) -> int:
    """A whole number from 1 on."""
    number = _whole(value)
    if number is None or number < 1:
        raise ConfigError(f"{name}: {value!r} does not fit; give an integer, at least 1")
    return number


def _whole(value: Any) -> int | None:
    """A whole number of any library; None of anything else."""
    if isinstance(value, bool):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def _listed(values: Any) -> list[Any]:
    """One value or several, as a list."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        return [values]
    try:
        return list(values)
    except TypeError:  # a tensor without axes
        return [values]


def numbers(
    classes_of: Classes, seeds: Sequence[int], config: Config, info: DataInfo, *, is_drawn: bool
) -> list[int] | None:
    """The number of the class of each image, None for a model without classes.

    classes_of: what --class takes, for all of them, or a name or number for each; None draws the
    class from the seed if `is_drawn`, and else is the null class.
    """
    if classes_of is None or isinstance(classes_of, str) or _whole(classes_of) is not None:
        label = None if classes_of is None else _label(classes_of)
        label = label if is_drawn else classes.fixed(label, config)
        return classes.numbers(label, seeds, config, info)
    return [classes.one(label, config, info) or 0 for label in labels(classes_of, len(seeds))]


def labels(classes: Classes, count: int) -> list[str | None]:
    """What --class says for each of so many images: the same for all, or one for each."""
    if classes is None or isinstance(classes, str) or _whole(classes) is not None:
        return [None if classes is None else _label(classes)] * count
    listed = _listed(classes)
    if len(listed) != count:
        raise ConfigError(f"classes: {len(listed)} for {count} images; give one for each")
    return [_label(label) for label in listed]


def _label(value: Any) -> str:
    """What --class says for a name or number."""
    number = None if isinstance(value, str) else _whole(value)
    return str(value) if number is None else str(number)


def images(
    values: Tensor, shape: Sequence[int], scale: Scale = BYTES, name: str = "images"
) -> Tensor:
    """Images [B, *shape], bytes or floats in [-1, 1], as float32; others are refused.

    scale: of the pixels of a model, in which other integers are, and bytes if it has no more bits.
    """
    if not isinstance(values, Tensor):
        raise ConfigError(f"{name}: {type(values).__name__}; give a tensor")
    if values.ndim != len(shape) + 1 or tuple(values.shape[1:]) != tuple(shape) or not len(values):
        have, want = shown(values.shape), shown(("N", *shape))
        raise ConfigError(f"{name}: of shape {have}, the model takes {want}")
    values = values.detach().cpu()
    if scale != BYTES and values.dtype in (_WHOLE if scale.is_deep else (torch.uint8, *_WHOLE)):
        low, high = int(values.long().min()), int(values.long().max())
        if low < scale.low or high > scale.high:
            raise ConfigError(f"{name}: pixels from {low} to {high}; the model's are {scale}")
        return scale.values(values)
    if values.dtype == torch.uint8:
        return BYTES.values(values)
    if not values.is_floating_point():
        raise ConfigError(f"{name}: of {values.dtype}; give bytes (uint8) or floats in [-1, 1]")
    if not bool(values.isfinite().all()):
        raise ConfigError(f"{name}: values that are not finite")
    if len(shape) == 3 and float(values.abs().max()) > 1 + 1e-4:
        most = float(values.abs().max())
        fix = "floats are in [-1, 1], bytes are uint8"
        raise ConfigError(f"{name}: values up to {most:.3g}; {fix}")
    return values.float()


def on_levels(x0: Tensor, bits: int, info: DataInfo) -> Tensor:
    """Images float64 in [-1, 1]: pixels exactly on their levels; other floats as they are.

    bits: of bytes, which have 2^bits even levels.
    """
    pixels = info.scale.pixels(x0)
    if not bool(((info.scale.values(pixels) - x0).abs() < ROUNDED).all()):
        return x0
    return scaled(pixels, bits, "images", info)


def levels(sigma: Tensor | float, count: int) -> Tensor:
    """Noise levels [] or [count] in float64, above 0 and finite."""
    try:
        level = torch.as_tensor(sigma, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        level = torch.zeros(())
    if level.shape not in ((), (count,)) or not bool(((level > 0) & level.isfinite()).all()):
        raise ConfigError("sigma: give one level above 0, or one for each image")
    return level


def refuse_other(name: str, value: object, choices: Sequence[str], kind: str = "") -> None:
    """Refuse what is none of the choices; kind: of components, if they are some."""
    if value not in choices:
        fix = peers.component(kind, str(value), choices)
        raise ConfigError(f"{name}: {value!r} does not fit; {fix}")


def refuse_number(name: str, value: object, least: float, most: float = math.inf) -> None:
    """Refuse what is no finite number from `least` on, or more than `most`."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and least <= float(str(value)) <= most and value != math.inf):
        span = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:,.0f}"
        raise ConfigError(f"{name}: {value!r} does not fit; give a number, {span}")


def refuse_measure(request: Nll) -> None:
    """Refuse ways to measure a likelihood that there are not, or that contradict each other."""
    method, trace, probes, bits = request.method, request.trace, request.probes, request.bits
    refuse_other("method", method, get_args(Method))
    if trace is not None:
        refuse_other("trace", trace, get_args(Trace))
    refuse_other("dequantize", request.dequantize, get_args(Dequantize))
    for name in ("probes", "repeats", "samples", "bits"):
        if name != "probes" or probes is not None:
            count(name, getattr(request, name))
    seeds(request.seed, "seed")
    if request.drawn is not None:
        refuse_number("drawn", count("drawn", request.drawn), 2)
    if bits is not None and bits > 8:
        raise ConfigError(f"bits: {bits} does not fit; give an integer, 1 to 8")
    usual = Nll(use=request.use)
    idle = ("trace", "probes", "dequantize", "samples") if method == "vlb" else ("drawn",)
    for name in idle:
        if getattr(request, name) != getattr(usual, name):
            raise ConfigError(f"{name}: of no use with method {method}; leave it out")
    if trace == "exact" and probes is not None:
        raise ConfigError("--probes: of no use with --trace exact; leave it out")


def interval(values: object) -> str:
    """The noise levels between which there is guidance, as --interval takes them."""
    listed = _listed(values)
    for level in listed:
        refuse_number("interval", level, 0.0)
    if len(listed) != 2 or not listed[0] < listed[1]:
        fix = "give two noise levels, the lower one first, as (0.2, 5)"
        raise ConfigError(f"interval: {values!r} does not fit; {fix}")
    return ",".join(map(str, listed))


def refuse_other_shape(name: str, values: Tensor, shape: Sequence[int]) -> None:
    """Refuse what are not floats [B, *shape]."""
    if not isinstance(values, Tensor):
        raise ConfigError(f"{name}: {type(values).__name__}; give a tensor")
    is_shaped = tuple(values.shape[1:]) == tuple(shape) and len(values) > 0
    if not is_shaped or not values.is_floating_point():
        have, want = shown(values.shape), shown(("N", *shape))
        raise ConfigError(f"{name}: {values.dtype} of shape {have}, the model takes floats {want}")


def page(values: Tensor, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape in which images of any size are edited: at least the model's own [C, H, W]."""
    if not isinstance(values, Tensor) or values.ndim != 4:
        return tuple(shape)
    return shape[0], max(shape[1], values.shape[2]), max(shape[2], values.shape[3])


def holes(values: Tensor, x: Tensor) -> Tensor:
    """Masks [H, W], [B, H, W] or [B, 1, H, W] of images x: bool, the higher of two values anew.

    Of one value all is made anew unless it is 0.
    """
    if not isinstance(values, Tensor):
        raise ConfigError(f"masks: {type(values).__name__}; give a tensor")
    levels = torch.unique(values)
    is_nan = bool(levels.isnan().any())
    if len(levels) > 2 or is_nan:
        what = "values that are NaN" if is_nan else f"{len(levels)} different values"
        raise ConfigError(f"masks: {what}; give bools, or two levels, as masks > 0.5")
    planes = (values != 0 if len(levels) < 2 else values == levels[-1]).cpu()
    planes = planes[None] if planes.ndim == 2 else planes
    planes = planes[:, None] if planes.ndim == 3 else planes
    want = (len(x), 1, *x.shape[-2:])
    if planes.ndim != 4 or tuple(planes.shape[1:]) != want[1:] or len(planes) not in (1, len(x)):
        raise ConfigError(f"masks: of shape {shown(values.shape)}, the images need {shown(want)}")
    return planes.expand(want)


def shown(shape: Sequence[Any]) -> str:
    """A shape in words."""
    return "x".join(map(str, shape))
