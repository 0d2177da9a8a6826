"""How many steps of a run fit into a budget of time or of operations."""

import math
import time
from bisect import bisect_left

import torch

from ddpm_cli import console, signals
from ddpm_cli.errors import ConfigError
from ddpm_cli.models import flops
from ddpm_cli.pipelines.forecast import FEWEST, Beside, Pace, is_enough, on_sheet, seconds, speed
from ddpm_cli.pipelines.materials import Materials, loop_setting
from ddpm_cli.pipelines.train_eval import Evaluation
from ddpm_cli.settings import budgets
from ddpm_cli.settings.budgets import Budget
from ddpm_cli.settings.config import Config
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.loop import train
from ddpm_cli.training.state import State

RESERVE = 0.03  # of a budget, for steps that are slower later
FAR = 1_000_000  # steps in which nothing is due


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
            on_sheet(count, beside) * beside.calls * math.ceil(train["steps"] / every) <= most
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

    def snapshot(self, state: State) -> None: ...

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
