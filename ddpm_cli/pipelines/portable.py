"""A model as one function of tensors that says what it is, for files of other runtimes."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ddpm_cli import __version__, hardware
from ddpm_cli.data.tasks import Task
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import double
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.models import build, kinds, saved, walk_parts
from ddpm_cli.models.kinds import of_texts
from ddpm_cli.pipelines import opening
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.portable_calls import Denoised, Raw
from ddpm_cli.settings.checks import JUDGES, classes
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Convert

ENTRY = "ddpm"  # under which a file holds what it says of itself, as JSON
TOLERANCE = 1e-4  # of what another runtime gives, for inputs of unit scale
TIMES = (0.1, 0.4, 0.7)  # of the process, at which it is compared: a row each
KNOTS = 2**14 + 1  # of a table in place of a learned schedule
LEVELS = "levels"  # the table that such a file has a use for

Run = Callable[[Mapping[str, Tensor]], Sequence[Tensor]]


class Portable(NamedTuple):
    """A function of named tensors, rows to try it with, and what is to be said of it.

    traceable: the same, but a learned schedule is a table; outputs: their names; about: JSON
    that lies in the file.
    """

    place: Place
    header: Header
    function: nn.Module
    traceable: nn.Module
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]
    about: dict[str, Any]

    @property
    def is_sized(self) -> bool:
        """Whether rows are images, whose height and width may be others if the network allows."""
        return len(self.header.data.shape) == 3 and self.header.task not in JUDGES


def settled(request: Convert) -> Opened:
    """The model of a request by its header, and the settings to describe it with."""
    place = find.find(request.source)
    header = read_header(place.path)
    _refuse_idle(request)
    return Opened(place, header, opening.settled(place, header, request.layers))


def opened(request: Convert) -> Portable:
    """The model of a request in float32 on the CPU, as the function that it asks for."""
    place, header, config = settled(request)
    compute = hardware.compute(device="cpu", dtype="float32")
    weights = checkpoint.load(place.path)[1]
    make = saved.classifier if header.task in JUDGES else saved.restored
    model = make(header, weights, compute, place.path)
    task = build.task(header.config, header.data)
    is_raw = request.part == "network"
    inputs = _inputs(model, header, task, is_raw)
    function = Raw(model.network) if is_raw else Denoised(model)
    traceable = function
    if isinstance(model.schedule, nn.Module) and not is_raw:
        traceable = Denoised(_tabulated(model, cast(Schedule, model.schedule)))
    names = _outputs(model, header, is_raw)
    about = _about(model, header, config, inputs, names)
    return Portable(place, header, function, traceable, inputs, names, about)


def _tabulated(model: Trained, inner: Schedule) -> Trained:
    """The same model, whose schedule finds times in a table: bisections are no graph."""
    other = copy.copy(model)
    other._modules = {name: part for name, part in model._modules.items() if name != "schedule"}
    other.schedule = Tabulated(inner)
    return other


class Tabulated:
    """A schedule whose times are read off a table of log sigma, linear between its entries."""

    levels, previous = Schedule.levels, Schedule.previous
    native, from_native = Schedule.native, Schedule.from_native

    def __init__(self, inner: Schedule) -> None:
        self.steps, self.sigma, self.alpha = inner.steps, inner.sigma, inner.alpha
        self.prior = inner.prior
        with torch.no_grad():
            self._times = torch.linspace(0, 1, KNOTS, dtype=torch.float64)
            self._ladder = inner.sigma(self._times).log()

    def time(self, sigma: Tensor) -> Tensor:
        """Time of a noise level, within the table."""
        value = double(sigma).log().clamp(self._ladder[0], self._ladder[-1])
        high = torch.searchsorted(self._ladder, value).clamp(1, KNOTS - 1)
        start, end = self._ladder[high - 1], self._ladder[high]
        share = (value - start) / (end - start)
        return torch.lerp(self._times[high - 1], self._times[high], share)


def _refuse_idle(request: Convert) -> None:
    """Refuse settings that no such file holds; those of the environment are for all commands."""
    for layer in request.layers:
        idle = sorted(set(layer.values) - {LEVELS, "summary"})
        if idle and layer.source != "the environment":
            what = f"{idle[0]}: the file holds one call of the network, not how to walk with it"
            raise ConfigError(f"{what}; {LEVELS} alone are written in it")


@torch.no_grad()
def _inputs(model: Trained, header: Header, task: Task | None, is_raw: bool) -> dict[str, Tensor]:
    """A few rows at noise levels of the process, each of another class, the last of none."""
    generator, count = torch.Generator().manual_seed(0), len(TIMES)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    z = normal(*header.data.shape)
    sigma = model.schedule.sigma(torch.tensor(TIMES, dtype=torch.float64))
    wide = [-1, *[1] * len(header.data.shape)]
    x = (0.5 + double(sigma)).float().reshape(wide) * z
    inputs = {"x": x, "sigma": sigma.float()}
    if is_raw:
        inputs = {"x": z, "label": model.label(sigma, model.schedule).float()}
    if (known := classes(header.config)) and header.task not in JUDGES:
        inputs["classes"] = torch.tensor([0, known - 1, known])[:count]
    if task is not None:
        inputs["image"] = normal(task.channels, *header.data.shape[1:]).clamp(-1, 1)
    if size := kinds.latents(header.config):
        inputs["latent"] = normal(size)
    return inputs | _told(header.config, header.data, count)


def _told(config: Config, info: DataInfo, count: int) -> dict[str, Tensor]:
    """Numbers and texts of so many rows, the last of none, and strengths of guidance."""
    nulls, told = kinds.nulls(config, info), dict[str, Tensor]()
    if "values" in nulls:
        rows = torch.linspace(-1, 1, count)[:, None].repeat(1, len(nulls["values"]))
        rows[-1] = nulls["values"]
        told["values"] = rows
    if "text" in nulls:
        texts = [*(f"text {number}" for number in range(count - 1)), None]
        told["text"] = of_texts(texts, config, info)
    if "strength" in nulls:
        low, high = config["strength"]["low"], config["strength"]["high"]
        told["strength"] = torch.linspace(low, high, count)[:, None]
    return told


def _outputs(model: Trained, header: Header, is_raw: bool) -> tuple[str, ...]:
    if header.task in JUDGES:
        return ("logits",)
    if is_raw:
        return ("output",)
    return ("x0", "range") if getattr(model, "learned_range", False) else ("x0",)


def _about(
    model: Trained,
    header: Header,
    config: Config,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
) -> dict[str, Any]:
    """What the file says of itself: inputs and outputs, the levels to walk along, the model."""
    whole = header.task if header.task in JUDGES else "denoiser"
    about: dict[str, Any] = {
        "part": "network" if "label" in inputs else whole,
        "inputs": {name: _INPUTS[name] for name in inputs},
        "outputs": {name: _OUTPUTS[name] for name in outputs},
        "shape": list(header.data.shape),
        "classes": list(header.data.classes or ()),
        "null_class": _null(header.config),
        "nulls": {kind: _shape(inputs[kind]) for kind in ("values", "text") if kind in inputs},
    }
    if header.task not in JUDGES:
        about |= _levels(model, config)
    own = {"hash": header.hash, "version": __version__, "data": header.data.fields()}
    return about | own | {"config": header.config, "source": dict(header.source or {})}


def _shape(rows: Tensor) -> dict[str, Any]:
    """The shape of a row of what is told, and what all of it is where nothing is told."""
    return {"shape": list(rows.shape[1:]), "fill": "nan" if rows.is_floating_point() else -1}


def _null(config: Config) -> int | None:
    """The number of the null class; None of a model that never saw it in its training."""
    return classes(config) or None if config["train"]["drop_class"] else None


_INPUTS = {
    "x": "the noisy state [batch, ...], x0 + sigma noise, x0 in [-1, 1] or normalized as `data` "
    "says; of part network what the network sees, scale x + shift",
    "sigma": "the noise level of each row [batch]",
    "label": "what the network is told of the noise level of each row [batch]",
    "classes": "the number of each row's class [batch]; null_class, if there is one, is none",
    "image": "what a conditional model is given beside x [batch, ...]; of task pairs the image, 1 "
    "where it is known if some may be missing, and of several filters 1 for the one of its place",
    "values": "numbers of each row [batch, V] in the order of data.values.names, as (number - "
    "mean) / std; NaN is not told",
    "text": "the text of each row as config.text reads it [batch, ...]: by encoder bytes 256, its "
    "UTF-8, then -1; all -1 of no text",
    "latent": "what a generator draws [batch, L]: unit normals, other ones at each level",
}
_OUTPUTS = {
    "x0": "the clean image that is expected",
    "range": "the channel of learned variances, in [-1, 1]",
    "output": "what the network predicts: x0 = skip x + out output + offset",
    "logits": "of the classes [batch, K]",
}


@torch.no_grad()
def _levels(model: Trained, config: Config) -> dict[str, Any]:
    """The levels of the model's own walk, where it starts, and how its network is called there.

    The columns of `network` are for each level but the last, 0:
    x0 = skip x + out network(scale x + shift, label) + offset.
    """
    levels = walk_parts.levels(config | {"edits": []}, model.schedule)
    seen = double(levels[levels > 0])
    coefficients = model.parameterization(seen, model.schedule)
    shifts = model.units.shifts(coefficients) or (torch.zeros_like(seen),) * 2
    columns = dict(zip(("skip", "out", "scale"), coefficients, strict=True))
    columns |= {"label": model.label(seen, model.schedule), "shift": shifts[0]}
    columns |= {"offset": shifts[1]}
    start = float(model.schedule.prior(levels[0]))
    table = {name: double(values).expand_as(seen).tolist() for name, values in columns.items()}
    return {"levels": levels.tolist(), "start": start, "network": table}


@torch.no_grad()
def compared(portable: Portable, run: Run, what: str) -> float:
    """How far another runtime is from the function, at most; too far is refused.

    All rows are tried at once and the first alone. The measure is of inputs of unit scale: what
    is rounded off of a state grows with its noise.
    """
    each = []
    for count in (len(TIMES), 1):
        rows = {name: value[:count] for name, value in portable.inputs.items()}
        each.append(worst(run(rows), portable.function(**rows), rows))
    furthest = max(each, key=lambda off: math.inf if math.isnan(off) else off)
    if not furthest <= TOLERANCE:
        fix = f"{what} computes it otherwise; update it, or export the model elsewhere"
        off = f"{furthest:.2g} from the model, {TOLERANCE:g} at most is right"
        raise Refusal(f"{portable.place.name}: what was exported is {off}", fix)
    return furthest


def worst(seen: Sequence[Tensor], expected: Sequence[Tensor], rows: Mapping[str, Tensor]) -> float:
    """The largest difference of two results, in units of the noise where that is above 1."""
    scale = rows["sigma"].clamp(min=1) if "sigma" in rows else torch.ones(len(rows["x"]))
    each = [
        ((a - b).abs().flatten(1).amax(1) / scale).max()
        for a, b in zip(seen, expected, strict=True)
    ]
    return float(torch.stack(each).max())  # a number that is none is the largest


def output_path(request: Convert, suffix: str) -> Path:
    """Where a request's file goes, whose name must say what it is."""
    if request.output is None:
        raise ConfigError(f"-o: it is not said where the file goes; add -o model{suffix}")
    path = Path(request.output)
    if path.suffix != suffix:
        raise ConfigError(f"-o {request.output}: --to {request.target} writes a {suffix} file")
    return path
