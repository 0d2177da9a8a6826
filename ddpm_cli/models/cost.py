"""What a walk will cost, counted before it: its moves, network calls, and gradients through it."""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import guidance
from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.guidance import Pair
from ddpm_cli.diffusion.linear_maps import Masked
from ddpm_cli.diffusion.measuring import Measured
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shortfall import shortfall
from ddpm_cli.diffusion.steps import Draws
from ddpm_cli.diffusion.walk import start
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.files.checkpoints import level_fits
from ddpm_cli.models import walk_parts
from ddpm_cli.models.walks import prepared
from ddpm_cli.settings import catalog, checks, passes
from ddpm_cli.settings.config import Config

LEVELS_LIMIT = 10_000  # of a list that is searched for
# Knobs of levels that say how many there are, and those that say where they end.
_ASKED, _ENDS = ("count", "counts", "timesteps", "sigmas"), ("low", "high")


class Cost(NamedTuple):
    """What a walk takes: its moves, and for an image network calls and gradients through them.

    calls: None if each image takes as many as it needs, and gradients if there are any at all;
    is_most: rounds that solve for something may end before they took so many gradients.
    """

    moves: int
    calls: int | None
    gradients: int = 0
    is_most: bool = False

    def times(self, count: int) -> "Cost":
        """Of an image that is made of so many, windows or planes."""
        calls = None if self.calls is None else count * self.calls
        return self._replace(calls=calls, gradients=count * self.gradients)

    @property
    def beside(self) -> str:
        """The gradients in words, to be said behind network calls; nothing if there are none."""
        if not self.gradients:
            return ""
        most = "up to " if self.is_most else ""
        return " and " + (
            f"{most}{many(self.gradients, 'gradients')}" if self.calls else "gradients"
        )

    def words(self, what: str = "an image") -> str:
        """Calls and gradients in words."""
        return words(self.calls, what, self.beside)


class _Counting:
    """A denoiser of nothing that counts its network calls, and the gradients through them."""

    def __init__(self, schedule: Schedule, settings: Mapping[str, Any]) -> None:
        self.schedule = schedule
        self.calls, self.gradients, self.guided = 0, 0, 0
        self._settings = settings

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        self.calls += 1
        self.guided += bool(guidance.guided_at(sigma, **self._settings))
        zeros: Tensor = _Nothing.apply(x, self)
        return Prediction(zeros, zeros.detach(), zeros.detach())


class _Nothing(torch.autograd.Function):
    """Zeros whose gradients are counted, and bend down: no rounds come to an end before the last.

    Conjugate gradients leave a direction as it is where what they solve for is no covariance.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, counting: _Counting) -> Tensor:
        """Zeros like x."""
        ctx.counting = counting
        return torch.zeros_like(x)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        """The slope turned round."""
        ctx.counting.gradients += 1
        return -slope, None


def plan(
    config: Config,
    schedule: Schedule,
    top: Tensor | None = None,
    rng: Draws | None = None,
    *,
    is_steered: bool = False,
) -> Cost:
    """What a walk costs, counted by walking it on one number.

    rng: where the walk's noise is from, for one that refuses to give any; is_steered: whether
    guides go back through the network. What the levels lack of what was asked for is said.
    """
    planned = counted(config, schedule, top, rng, is_steered=is_steered)
    for words in lacking(config, schedule):
        console.say(f"levels.{config['levels']['name']}: {words}")
    return planned


def lacking(config: Config, schedule: Schedule) -> list[str]:
    """What the levels of a configuration, before its edits, lack of what it asks for.

    Ends that nobody chose are moved into the range of the process without a word.
    """
    settings, levels = config["levels"], walk_parts.levels(config | {"edits": []}, schedule)
    unset = catalog.find("levels", settings["name"]).knobs
    knobs = {
        key: value
        for key, value in settings.items()
        if key in _ASKED or (key in _ENDS and value != unset[key].default)
    }
    return shortfall(schedule, levels, **knobs)


def counted(
    config: Config,
    schedule: Schedule,
    top: Tensor | None = None,
    rng: Draws | None = None,
    *,
    is_steered: bool = False,
) -> Cost:
    """What `plan` returns, without a word; the calls of all particles of an image are its own."""
    settings = passes.two_passes(config)
    counting, walk = _Counting(schedule, settings), prepared(config, schedule, top)
    x = start(counting, walk.levels, torch.zeros(1, 1, dtype=torch.float64), Rng([0]))
    denoise, is_guiding = _guided(counting, settings), passes.is_guiding(settings)
    if (make := walk_parts.method(config)) is not None:
        known = Masked(torch.ones(1, 1, dtype=torch.bool), (1,))
        method = make(Measured(known, torch.ones_like(x)))
        denoise, walk = method.wrap(denoise) if method.wrap else denoise, walk.by(method)
    if is_steered:
        denoise = guidance.steered(denoise, clean=[lambda x0, sigma: x0[:, 0]])
    moves = sum(1 for _ in walk.states(denoise, x, rng or Rng([0])))
    if is_guiding and not counting.guided:
        raise _unguided(settings, walk.levels)
    is_most = "tolerance" in config.get("method", {})
    calls = None if walk.is_adaptive else counting.calls
    one = Cost(moves, calls, counting.gradients, is_most)
    return one.times(checks.particles(config))


def refuse_unguided(config: Config, schedule: Schedule) -> None:
    """Refuse guidance between levels that no call falls between, of a walk that is not planned."""
    settings = passes.two_passes(config)
    is_bounded = settings.get("low", 0.0) > 0 or settings.get("high") is not None
    if is_bounded and passes.is_guiding(settings):
        counted(config, schedule)


def _guided(counting: _Counting, settings: Mapping[str, Any]) -> Denoise:
    """A denoiser that is asked as often as settings of `guidance` ask the network."""
    if not passes.is_guiding(settings):
        return counting
    return guidance.guidance(Pair.of_two(counting, counting), **walk_parts.guided(dict(settings)))


def _unguided(settings: Mapping[str, Any], levels: Tensor) -> ConfigError:
    """The refusal of guidance between levels that no call of the network falls between."""
    inside = f"above {settings['low']:g}"
    inside += "" if settings["high"] is None else f" and up to {settings['high']:g}"
    asked = [f"{float(level):.3g}" for level in (levels[0], levels[levels > 0][-1])]
    why = f"no call of the network lies {inside}, so nothing is guided"
    return ConfigError(f"guidance.low, guidance.high: {why}; calls go from {' to '.join(asked)}")


def fit_calls(config: Config, schedule: Schedule, calls: int, top: Tensor | None = None) -> Config:
    """The configuration with the longest list of levels that costs at most `calls` calls.

    Of a walk from the level `top`, levels above it cost nothing.
    """
    if "count" not in config["levels"]:
        raise ConfigError(f"--calls: levels {config['levels']['name']} have no count to choose")
    if walk_parts.is_adaptive(config):
        name = config["sampler"]["name"]
        raise ConfigError(f"--calls: {name} takes as many as its tolerance needs; leave it out")

    def sized(count: int) -> Config:
        return config | {"levels": config["levels"] | {"count": count}}

    def is_over(count: int) -> bool:
        return (counted(sized(count), schedule, top).calls or 0) > calls

    if config["levels"]["name"] == level_fits.FITTED:
        return _fitting_levels(config, calls, is_over)
    limit = schedule.steps or (calls if top is None else LEVELS_LIMIT)
    most = min(calls, limit)
    while most < limit and top is not None and not is_over(most):
        most = min(2 * most, limit)
    least = _fewest(config)
    fitting = bisect_left(range(least, most + 1), True, key=is_over)
    if not fitting:
        few = "one step" if least == 1 else f"the {least} steps that edits.jumps needs"
        raise ConfigError(f"--calls {calls}: too few for {few} of {config['sampler']['name']}")
    return sized(least + fitting - 1)


def _fewest(config: Config) -> int:
    """How many levels a list must have for its edits, at least."""
    jumps = [edit["lengths"] for edit in config["edits"] if edit["name"] == "jumps"]
    return 1 + max((min(lengths) for lengths in jumps if lengths), default=0)


def _fitting_levels(config: Config, calls: int, is_over: Callable[[int], bool]) -> Config:
    """The configuration with the longest of the lists that were fitted which is not over."""
    levels = config["levels"]
    counts = [fit.moves for fit in level_fits.of(config)] if levels["file"] else [levels["count"]]
    allowed = [count for count in counts if not is_over(count)]
    if not allowed:
        fewest = f"the shortest list that is fitted has {counts[0]} levels"
        raise ConfigError(f"--calls {calls}: {fewest}, which take more; ddpm fit makes others")
    return config | {"levels": levels | {"count": allowed[-1]}}


def sized(
    config: Config, schedule: Schedule, calls: int | None, top: Tensor | None = None
) -> Config:
    """The configuration with as many levels as --calls allows, on a walk from the level `top`.

    Fitted levels then stand in it themselves, so that what is made of them says which.
    """
    chosen = config if calls is None else fit_calls(config, schedule, calls, top)
    if chosen["levels"].get("file"):
        level_fits.say_other_use(chosen)
    return level_fits.inlined(chosen)


def words(calls: int | None, what: str = "an image", beside: str = "") -> str:
    """What a walk costs in words; None: as many calls as its tolerance needs.

    beside: what it takes beside calls.
    """
    if calls:
        return f"{many(calls, 'network calls')}{beside} {what}"
    return f"network calls{beside} as {what} needs them"
