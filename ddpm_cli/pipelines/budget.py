"""How long a run takes, and how many steps fit into a budget of time or of operations."""

import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch

from ddpm_cli import console, signals
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.models import cost, flops
from ddpm_cli.pipelines.materials import HELD_OUT, POINTS, Materials, loop_setting
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings import budgets
from ddpm_cli.settings.budgets import Budget
from ddpm_cli.settings.checks import JUDGES, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train
from ddpm_cli.training.state import State

WARM = 3  # first steps whose time says nothing: memory is laid out, kernels are chosen
LEAST = 3  # steps that are timed after them
SECONDS = 5.0  # for which steps are timed, or this share of a short budget
SHARE = 0.05
RESERVE = 0.03  # of a budget, for steps that are slower later
FEWEST = 50  # steps of a run that a budget leaves room for
ADAPTIVE = 100  # network calls of a walk that takes as many as it needs
DISK = 200e6  # bytes a second that a save is hashed and written at
FAR = 1_000_000  # steps in which nothing is due


class Beside(NamedTuple):
    """What a run does beside its steps: network calls for a sheet's image, bytes of a save.

    held_out: images of a measure; evaluated: images that this process draws for an eval, which
    takes so many seconds beside that.
    """

    calls: int
    saved: int
    held_out: int
    is_image: bool
    evaluated: int = 0
    evaluating: float = 0.0

    @classmethod
    def of(
        cls, materials: Materials, state: State, evaluation: Evaluation | None = None
    ) -> "Beside":
        """That of a run."""
        saved = sum(tensor.nbytes for tensor in state.tensors().values())
        held_out = min(HELD_OUT, len(materials.sets.test))
        each = calls(materials.config, state.model.schedule)
        usual = cls(each, saved, held_out, is_image=len(materials.info.shape) > 1)
        if evaluation is None:
            return usual
        sharing = 1 if state.is_shared else materials.place.ranks
        drawn = -(-materials.config["train"]["eval_count"] // sharing)
        return usual._replace(evaluated=drawn, evaluating=evaluation.seconds)


def calls(config: Config, schedule: Schedule) -> int:
    """Network calls for a sample; a classifier draws none."""
    if purpose(config) in JUDGES:
        return 0
    try:
        counted = cost.counted(config, schedule)[1]
    except ConfigError:  # a walk that is refused when it is asked for, and drawn without guidance
        counted = None
    return ADAPTIVE if counted is None else counted


class Pace(NamedTuple):
    """Seconds that a step takes, and those that the network takes to see one image."""

    step: float
    image: float

    @classmethod
    def of(cls, moments: Sequence[float], batch: int, ranks: int) -> "Pace":
        """From the moments at which steps ended, the first when they began.

        The mean of the middle half, as others disturb single steps. Forward is a third of a step.
        """
        every = [after - before for before, after in pairwise(moments)]
        steps = sorted(every[WARM:] or every[-1:])
        cut = len(steps) // 4
        middle = steps[cut : len(steps) - cut]
        step = sum(middle) / len(middle)
        return cls(step, step * ranks / (flops.PASSES * batch))


def is_enough(moments: Sequence[float], budget: float | None = None) -> bool:
    """Whether steps that ended at these moments tell the speed; see `Pace.of`.

    At once, if so slow a step can never be made FEWEST times in a budget of seconds.
    """
    wanted = SECONDS if budget is None else min(SECONDS, SHARE * budget)
    if budget is not None and len(moments) > 2:
        fastest = min(after - before for before, after in pairwise(moments))
        if fastest * FEWEST > budget:
            return True
    return len(moments) > WARM + LEAST and bool(moments[-1] - moments[WARM] >= wanted)


def seconds(config: Config, pace: Pace, beside: Beside) -> float:
    """How long a run of a configuration takes, with its measures, saves and sheets."""
    train = config["train"]
    steps = int(train["steps"])
    sheets, measures, saves = (
        math.ceil(steps / train[every]) for every in ("sheet_every", "measure_every", "save_every")
    )
    evals = math.ceil(steps / (train["eval_every"] or math.inf))
    seen = (
        beside.evaluated * beside.calls * evals
        + _on_sheet(train["sheet_count"], beside) * beside.calls * sheets
        + beside.held_out * measures
    )
    beside_steps = seen * pace.image + saves * beside.saved / DISK + evals * beside.evaluating
    return float(steps * pace.step + beside_steps)


def _on_sheet(count: int, beside: Beside) -> int:
    """What a sheet of `count` images draws: of arrays, if any, the points of a plot."""
    return count if beside.is_image or not count else POINTS


def fitting(config: Config, pace: Pace, beside: Beside, budget: float) -> int:
    """The most steps of a run, up to its own, that take at most so many seconds."""

    def is_over(steps: int) -> bool:
        return seconds(shortened(config, steps, beside), pace, beside) > budget

    return bisect_left(range(1, int(config["train"]["steps"]) + 1), True, key=is_over)


def shortened(config: Config, steps: int, beside: Beside) -> Config:
    """The configuration of a run of at most so many steps, and sheets that suit it.

    All sheets together cost at most a tenth of the training: there is one at the end, of fewer
    images, where more would take longer.
    """
    config = budgets.planned(config, steps)
    train = config["train"]
    most = flops.PASSES * train["steps"] * train["batch"] / 10

    def fits(every: int, count: int) -> bool:
        return bool(
            _on_sheet(count, beside) * beside.calls * math.ceil(train["steps"] / every) <= most
        )

    every, count = train["sheet_every"], train["sheet_count"]
    if count and not fits(every, count):
        every = train["steps"]
        smaller = [side for side in (49, 36, 25, 16, 9) if side < count]
        if beside.is_image:
            count = next((n for n in (count, *smaller) if fits(every, n)), min(count, 4))
    return config | {"train": train | {"sheet_every": every, "sheet_count": count}}


class _Rehearsal:
    """The journal of steps that are made for their speed alone: it notes when each ended."""

    def __init__(self, place: Group, device: torch.device, budget: float) -> None:
        self.moments = [time.monotonic()]
        self._place, self._device, self._budget = place, device, budget

    def log(self, values: dict[str, float]) -> None: ...

    def save(self, state: State) -> None: ...

    def sheet(self, state: State) -> None: ...

    def evaluate(self, state: State) -> None: ...

    def advance(self, note: str) -> None: ...

    def stopping(self, overdue: bool) -> bool:
        """Note the moment when the device is done, and stop when enough is known anywhere."""
        torch.zeros((), device=self._device).item()
        self.moments.append(time.monotonic())
        stop = overdue or signals.requested() is not None or is_enough(self.moments, self._budget)
        return distributed.agreed(self._place, stop)


def rehearsed(materials: Materials, state: State, budget: float) -> list[float]:
    """The moments at which steps of a run ended; its state is of no more use afterwards."""
    config, place = materials.config, materials.place
    never = dict.fromkeys(("log_every", "measure_every", "save_every", "steps"), FAR)
    journal = _Rehearsal(place, materials.compute.device, budget)
    settings = config["train"] | never | {"minutes": 0.0, "sheet_count": 0, "eval_every": 0}
    train(loop_setting(materials, state), state, journal, **settings)
    return journal.moments


def planned(
    materials: Materials, state: State, began: float, evaluation: Evaluation | None = None
) -> Config | None:
    """The configuration of a new run with as many steps as its budget allows; None if stopped.

    state: a fresh one to measure the speed with, of no more use afterwards; began: the moment
    from which on time counts. All processes take the plan of the first.
    """
    config = materials.config
    budget, beside = budgets.budget(config), Beside.of(materials, state, evaluation)
    if budget is None:
        return config
    if budget.flops is not None:
        steps = _affordable(materials, budget, budget.flops)
        planned = shortened(config, steps, beside)
        what = f"{flops.forward(config, materials.info) / 1e9:.3g} GFLOP an image, forward"
        _say(budget, config, planned, what)
        return planned
    limit = budget.seconds or 0.0
    console.say(f"budget {budget.text}: measuring the speed")
    moments = rehearsed(materials, state, limit)
    if distributed.agreed(materials.place, signals.requested() is not None):
        return None
    pace = Pace.of(moments, config["train"]["batch"], materials.place.ranks)
    spent = moments[-1] - began + materials.compute.compile * (moments[1] - moments[0])
    left = (1 - RESERVE) * limit - spent
    steps = distributed.told(materials.place, fitting(config, pace, beside, left))
    if steps < min(FEWEST, config["train"]["steps"]):
        whole = seconds(shortened(config, 2 * FEWEST, beside), pace, beside)
        fix = budgets.text((whole + spent) / (1 - RESERVE))
        raise _too_small(budget, steps, speed(materials, pace), fix)
    planned = shortened(config, steps, beside)
    _say(budget, config, planned, speed(materials, pace))
    return planned


def _affordable(materials: Materials, budget: Budget, limit: float) -> int:
    """How many steps a budget of operations allows."""
    each, most = (
        flops.training(materials.config, materials.info),
        materials.config["train"]["steps"],
    )
    if not each:
        fix = "give a length of time, as 10m"
        raise ConfigError(f"train.budget: this network has no operations to count; {fix}")
    steps = int(min(limit / each, most))
    if steps < min(FEWEST, most):
        fix = budgets.text_of_flops(2 * FEWEST * each)
        raise _too_small(budget, steps, f"{each / 1e9:.3g} GFLOP a step", fix)
    return steps


def _too_small(budget: Budget, steps: int, speed: str, fix: str) -> ConfigError:
    count = f"{steps} step{'s' * (steps != 1)}" if steps else "no step"
    what = f"train.budget: {budget.text} is enough for {count} at {speed}"
    return ConfigError(f"{what}; --budget {fix} trains {2 * FEWEST}, or choose a smaller network")


def _say(budget: Budget, asked: Config, planned: Config, speed: str) -> None:
    """Say what a budget is enough for."""
    train, own = planned["train"], asked["train"]
    if train["steps"] == own["steps"]:
        console.say(f"budget {budget.text}: all {own['steps']} steps, at {speed}")
        return
    what = f"budget {budget.text}: {train['steps']} of {own['steps']} steps, at {speed}"
    console.say(f"{what}; train.warmup is {train['warmup']}")


def speed(materials: Materials, pace: Pace) -> str:
    """Images a second in words."""
    noun = "images" if materials.info.is_image else "rows"
    rate = materials.config["train"]["batch"] / pace.step
    return f"{rate:,.0f} {noun}/s" if rate >= 10 else f"{rate:.2g} {noun}/s"


class Forecast:
    """Says once, when the first steps of a run were made, how long it will take."""

    def __init__(self, materials: Materials, beside: Beside, done: int) -> None:
        self._materials, self._beside, self._done = materials, beside, done
        self._moments: list[float] | None = [time.monotonic()]

    def step(self, bar: console.Progress) -> None:
        """Count a step."""
        if self._moments is None:
            return
        self._moments.append(time.monotonic())
        if is_enough(self._moments):
            bar.say(self._words(self._moments))
            self._moments = None

    def _words(self, moments: Sequence[float]) -> str:
        config, place = self._materials.config, self._materials.place
        pace = Pace.of(moments, config["train"]["batch"], place.ranks)
        whole = seconds(config, pace, self._beside)
        left = whole * (1 - (self._done + len(moments) - 1) / config["train"]["steps"])
        words = f"about {console.duration(left)} at {speed(self._materials, pace)}"
        if whole > budgets.LONG and not self._done and budgets.budget(config) is None:
            words += f"; --budget {budgets.proposed(whole)} trains a smaller run"
        return words
