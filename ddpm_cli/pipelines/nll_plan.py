"""What a likelihood is measured by: settings of the bound, ways of the ODE, and what both cost."""

import math
from typing import NamedTuple

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import walks
from ddpm_cli.models.cost import Cost
from ddpm_cli.pipelines import inversion
from ddpm_cli.settings import passes
from ddpm_cli.settings.checks import refuse_no_mean
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Dequantize, Method, Nll, Trace
from ddpm_cli.settings.usual import PLAIN, begun

EXACT = 16  # dimensions up to which the exact trace is the default
EXACT_LIMIT = 1024  # beyond, one gradient a dimension takes hours an image
CONTINUOUS = 1000  # steps in which a continuous process is bounded


def bound(config: Config, schedule: Schedule, *, respaced: bool) -> Layer:
    """The settings of the bound: all levels of a discrete process, the variance as trained.

    respaced: fewer levels are asked for. Even in log SNR, a tenth of them is almost as good as
    all; a tenth that is even in time costs twice the bits.
    """
    variance = "learned" if config["network"].get("learned_variance") else "small"
    levels = {"name": "linspace", "count": schedule.steps or CONTINUOUS}
    if respaced:
        levels = {"name": "logsnr", **begun(config)}
    sampler = {"name": "ddpm", "variance": variance}
    return Layer("ddpm nll", {**PLAIN, "sampler": sampler, "levels": levels})


class Measure(NamedTuple):
    """How to measure: `repeats` draws of all noise for each image are averaged.

    trace, probes: of the ODE; dequantize, samples: its bound of `samples` states for each image;
    bits: the images have 2^bits levels, which need be no power of 2; seed: of the first image;
    drawn: so many of the bound's terms are drawn for each image, None for all of them.
    """

    method: Method = "ode"
    trace: Trace = "rademacher"
    probes: int = 1
    repeats: int = 1
    bits: float = 8
    seed: int = 0
    dequantize: Dequantize = "uniform"
    samples: int = 1
    drawn: int | None = None

    @property
    def is_exact(self) -> bool:
        """Whether a figure is exact for the state that it is about, and nothing is estimated."""
        return self.method == "ode" and self.trace == "exact"

    @classmethod
    def of(cls, request: Nll, info: DataInfo) -> "Measure":
        """What a request says, and else suits the data."""
        trace, levels = request.trace or usual_trace(info), bits(info, request.bits)
        _refuse_real(request, info)
        rest = (request.dequantize, request.samples, request.drawn)
        probes, repeats = _probes(request, trace), request.repeats
        return cls(request.method, trace, probes, repeats, levels, request.seed, *rest)


def _probes(request: Nll, trace: Trace) -> int:
    """How many probes there are of each draw: one unless told, or two halves of several draws."""
    least = 1 if request.samples == 1 or trace == "exact" else 2
    probes = least if request.probes is None else request.probes
    if probes % least:
        why = "one half tells the samples apart, the other measures them"
        fix = f"give --probes {probes + 1}, or --trace exact"
        raise ConfigError(f"--probes {probes}: {why}; {fix}")
    return probes


def _refuse_real(request: Nll, info: DataInfo) -> None:
    """Refuse ways from bytes to real numbers for what are real numbers."""
    if info.is_image:
        return
    for option, value, usual in (
        ("--dequantize", request.dequantize, "uniform"),
        ("--samples", request.samples, 1),
    ):
        if value != usual:
            raise ConfigError(f"{option}: of images alone; leave it out")


def bits(info: DataInfo, asked: int | None) -> float:
    """How many bits the levels of images have: 8 unless told, or those of the model's range."""
    if info.range is None:
        return asked or 8
    if asked is not None:
        what = f"--bits {asked}: the model's images have the levels {info.scale}"
        raise ConfigError(f"{what}; leave it out")
    return info.scale.bits


def plan(config: Config, measure: Measure, info: DataInfo, schedule: Schedule) -> Cost:
    """What a likelihood costs; what gives none is refused."""
    refuse_no_mean(config, "likelihood")
    if passes.is_guiding(config.get("guidance", {})):
        raise ConfigError("guidance.scale: guided predictions have no likelihood; leave it out")
    if measure.method == "vlb":
        moves = _drawn(measure, _plan_bound(config, schedule))
        return Cost(moves, moves).times(measure.repeats)
    for settings in config["wrappers"]:
        if settings["name"] in inversion.LOSSY:
            fix = "leave it out, nothing is clamped here"
            raise ConfigError(f"wrappers.{settings['name']}: the ODE has another density; {fix}")
    size = math.prod(info.shape)
    if measure.trace == "exact" and size > EXACT_LIMIT:
        fix = "use --trace rademacher"
        raise ConfigError(f"--trace exact: one gradient for each of {size} dimensions; {fix}")
    way = inversion.plan(config, schedule)
    return _traced(way, measure, size).times(measure.repeats * measure.samples)


def _traced(way: Cost, measure: Measure, size: int) -> Cost:
    """What a way costs that takes a trace at each level: a gradient a probe, or a dimension."""
    each = size if measure.trace == "exact" else measure.probes
    if way.calls is None:
        return way._replace(gradients=each)
    begun = way.calls + (measure.dequantize == "truncated")
    return way._replace(calls=begun, gradients=each * way.moves)


def _plan_bound(config: Config, schedule: Schedule) -> int:
    name = config["sampler"]["name"]
    if name != "ddpm":
        fix = "leave it out, and choose --variance"
        raise ConfigError(f"sampler.{name}: the bound is that of ancestral steps; {fix}")
    has_learned = config["network"].get("learned_variance")
    if config["sampler"]["variance"] == "learned" and not has_learned:
        raise ConfigError("--variance learned: this model has learned none; use small or large")
    levels = walks.prepared(config, schedule).levels
    if len(levels) < 3 or bool((levels.diff() >= 0).any()):
        raise ConfigError("levels: the bound needs two or more descending ones; use more --steps")
    return len(levels) - 1


def _drawn(measure: Measure, moves: int) -> int:
    """How many terms of a bound of so many moves are measured for each image."""
    if measure.drawn is None:
        return moves
    if measure.drawn >= moves:
        fix = "leave it out, or take more --steps"
        raise ConfigError(f"--drawn {measure.drawn}: of a bound of {moves} terms; {fix}")
    return measure.drawn


def usual_trace(info: DataInfo) -> Trace:
    """The trace unless told: exact where it costs little."""
    return "exact" if math.prod(info.shape) <= EXACT else "rademacher"
