"""How likely a model finds given data: exactly by its ODE, or bounded by its reverse steps."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import signals
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.image_set import told as of_rows
from ddpm_cli.diffusion import dequantization, likelihood
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.variational import Decoder, drawn_moves, prior_bits, terms
from ddpm_cli.errors import ConfigError
from ddpm_cli.evaluation.coding import Curve
from ddpm_cli.evaluation.decompression import Decompression
from ddpm_cli.files import codes
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import walks
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import inversion
from ddpm_cli.settings import passes
from ddpm_cli.settings.checks import refuse_no_mean
from ddpm_cli.settings.config import Config, Layer
from ddpm_cli.settings.nll_requests import Dequantize, Method, Nll, Trace
from ddpm_cli.settings.usual import PLAIN, begun

EXACT = 16  # dimensions up to which the exact trace is the default
EXACT_LIMIT = 1024  # beyond, one gradient a dimension takes hours an image
CONTINUOUS = 1000  # steps in which a continuous process is bounded
_PROBES = {
    "rademacher": likelihood.rademacher,
    "gaussian": likelihood.gaussian,
    "antithetic": likelihood.antithetic,
}


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

    @classmethod
    def of(cls, request: Nll, info: DataInfo) -> "Measure":
        """What a request says, and else suits the data."""
        trace, levels = request.trace or usual_trace(info), bits(info, request.bits)
        _refuse_real(request, info)
        rest = (request.dequantize, request.samples, request.drawn)
        probes, repeats = request.probes, request.repeats
        return cls(request.method, trace, probes, repeats, levels, request.seed, *rest)


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


def plan(config: Config, measure: Measure, info: DataInfo, schedule: Schedule) -> int | None:
    """Network calls an image, None if a tolerance decides; what gives no likelihood is refused."""
    refuse_no_mean(config, "likelihood")
    if passes.is_guiding(config.get("guidance", {})):
        raise ConfigError("guidance.scale: guided predictions have no likelihood; leave it out")
    if measure.method == "vlb":
        return measure.repeats * _drawn(measure, _plan_bound(config, schedule))
    for settings in config["wrappers"]:
        if settings["name"] in inversion.LOSSY:
            fix = "leave it out, nothing is clamped here"
            raise ConfigError(f"wrappers.{settings['name']}: the ODE has another density; {fix}")
    size = math.prod(info.shape)
    if measure.trace == "exact" and size > EXACT_LIMIT:
        fix = "use --trace rademacher"
        raise ConfigError(f"--trace exact: one gradient for each of {size} dimensions; {fix}")
    calls = inversion.plan(config, schedule)[1]
    if calls is None:
        return None
    return measure.repeats * measure.samples * (calls + (measure.dequantize == "truncated"))


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


class Meter:
    """Measures batches: bits per dimension of each row, and what they cost."""

    def __init__(self, model: Model, measure: Measure, advance: Callable[[int], None]) -> None:
        """Take a model, and what counts the network calls of single images."""
        self.model, self.measure = model.counting(self._count), measure
        self.calls, self.rows = 0, 0
        self.walk = model.prepared()
        self.curve = Curve(self.walk.levels)
        self.stages: Decompression | None = None  # if they are wanted
        self._advance = advance

    @property
    def offset(self) -> float:
        """What is added to -log2 of the density of a network's values, per dimension.

        log2 of the width of a bin, or of the deviations that arrays were divided by.
        """
        if not self.model.info.is_image:
            return sum(map(math.log2, self.model.info.std or ())) / self.model.info.shape[0]
        return math.log2((2**self.measure.bits - 1) / 2)

    def __call__(self, x0: Tensor, numbers: Sequence[int], told: Conditions) -> Tensor | None:
        """Bits per dimension float64 [B] of rows x0 [B, ...]; None if the process should stop.

        numbers: of the rows; row i has the noise of the seed that is i after the first; told:
        what the network is told of them, by kind.
        """
        x0 = self.model.placed(x0)
        way = self._exact if self.measure.method == "ode" else self._bounded
        bits = way(x0, [self.measure.seed + number for number in numbers], told)
        self.rows += len(x0)
        return None if bits is None else bits.cpu().double() - self._stretched(x0)

    def _stretched(self, x0: Tensor) -> Tensor | float:
        """Bits per dimension [B] that normal scores of columns take, each at its own value."""
        titles = self.model.info.titles
        if titles is None or not titles.is_typed:
            return 0.0
        nats = codes.log_slopes(self.model.info.restore(x0), titles)
        return nats / (math.log(2) * x0[0].numel())

    def _denoise(self, rows: slice, told: Conditions) -> Denoise:
        return self.walk.wrap(self.model.bound(of_rows(told, rows)))

    def _count(self, rows: int) -> None:
        self.calls += rows
        self._advance(rows)

    def _exact(self, x0: Tensor, seeds: Sequence[int], told: Conditions) -> Tensor | None:
        """By the ODE; images whose solver chooses its steps are taken one by one."""
        parts = []
        for rows in self.model.parts(self.walk, len(x0)):
            rng, repeats = self.model.randomness.rng(seeds[rows], "nll"), []
            for _ in range(self.measure.repeats):
                nats = self._solved(self._denoise(rows, told), x0[rows], rng)
                if nats is None:
                    return None
                repeats.append(nats)
            parts.append(torch.stack(repeats).mean(0))
        return self.offset - torch.cat(parts) / (math.log(2) * x0[0].numel())

    def _solved(self, denoise: Denoise, x0: Tensor, rng: Rng) -> Tensor | None:
        """Log density in nats [B] of so many draws of values within the bins, and of the probes.

        All draws share their probes: what these get wrong of the trace is then nearly the same
        for all, and the log of the mean takes it for no part of the weights.
        """
        solve = likelihood.leap if self.walk.is_adaptive else likelihood.climb
        levels, step, probes, weights = self.walk.levels, self.walk.predictor, None, list[Tensor]()
        for _ in range(self.measure.samples):
            begin, worth = self._state(denoise, x0, rng)
            if probes is None and self.measure.trace != "exact":
                probes = _PROBES[self.measure.trace](x0, self.measure.probes, rng)
            reached = walks.last(solve(denoise, begin, levels, step, probes))
            if reached is None:
                return None
            weights.append(likelihood.log_density(denoise.schedule, reached) + worth)
        return dequantization.log_mean(weights)

    def _state(self, denoise: Denoise, x0: Tensor, rng: Rng) -> tuple[Tensor, Tensor | float]:
        """A draw of where the way up begins, and what it is worth beside its density in nats."""
        levels, bits = self.walk.levels, self.measure.bits
        if not self.model.info.is_image:
            return likelihood.at_lowest(denoise.schedule, x0, levels), 0.0
        u = rng.uniform(x0[0].numel(), x0.device).to(x0).reshape(x0.shape)
        if self.measure.dequantize == "uniform":
            return dequantization.uniform(denoise.schedule, x0, u, levels, bits), 0.0
        return dequantization.truncated(denoise, x0, u, levels, bits)

    def _bounded(self, x0: Tensor, seeds: Sequence[int], told: Conditions) -> Tensor | None:
        """By the bound, whose terms go into the curve."""
        found = self.parts(x0, seeds, told)
        if found is None:
            return None
        received, errors = found
        whole = received.sum(0).isfinite()  # others are refused one by one, and count for nothing
        self.curve.add(received[:, whole], errors[:, whole])
        return received.sum(0)

    def parts(
        self, x0: Tensor, seeds: Sequence[int], told: Conditions
    ) -> tuple[Tensor, Tensor] | None:
        """The bound of x0 [B, ...] taken apart, float64; None if the process should stop.

        Bits per dimension [L + 1, B], the prior's and those of L moves, and the mean squared
        errors [L, B] of the predicted x0.
        """
        info, config = self.model.info, self.model.config
        denoise = self._denoise(slice(0, len(x0)), told)
        if self.stages is not None:
            denoise = self.stages.watching(denoise)
        rng = self.model.randomness.rng(seeds, "nll")
        # Numbers that are no pixels have a density, and no levels.
        decoder: Decoder = "discretized" if info.is_image else "gaussian"
        how = (config["sampler"]["variance"], decoder, self.measure.bits)
        prior = prior_bits(denoise.schedule, x0, self.walk.levels[0])
        sums = torch.zeros(2, len(self.walk.levels) - 1, len(x0), dtype=torch.float64)
        rows = torch.arange(len(x0))
        for _ in range(self.measure.repeats):
            moves, share = self._moves(rng)
            for term in terms(denoise, x0, self.walk.levels, rng, *how, moves=moves):
                if signals.requested():
                    return None
                worth = torch.where(term.number < len(sums[0]) - 1, share, 1.0)
                found = torch.stack([term.bits, term.error]).cpu().double()
                sums[:, term.number, rows] += worth * found
        if self.stages is not None:
            self.stages.add(x0)
        received, errors = sums / self.measure.repeats
        received = torch.cat([prior[None].cpu().double(), received])
        received[-1] += 0.0 if info.is_image else self.offset
        return received, errors

    def _moves(self, rng: Rng) -> tuple[Sequence[Tensor] | None, float]:
        """Which terms of the bound are measured, and how many each but the last stands for."""
        if self.measure.drawn is None:
            return None, 1.0
        return drawn_moves(len(self.walk.levels) - 1, self.measure.drawn, rng.uniform()[:, 0])


def mean(bits: Sequence[float]) -> tuple[float, float | None]:
    """The mean over images and its standard error; one image has none."""
    values = torch.tensor(bits, dtype=torch.float64)
    error = float(values.std() / math.sqrt(len(values))) if len(values) > 1 else None
    return float(values.mean()), error


def usual_trace(info: DataInfo) -> Trace:
    """The trace unless told: exact where it costs little."""
    return "exact" if math.prod(info.shape) <= EXACT else "rademacher"
