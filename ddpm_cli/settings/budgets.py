"""Budgets of training runs: what `train.budget` says, and the configuration of so many steps."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from ddpm_cli.settings.config import Config, Layer

_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
# How often at least a run that a budget shortened says, measures, saves and draws something.
_PARTS = {"log_every": 20, "measure_every": 4, "save_every": 10, "sheet_every": 2}
# Up to how many seconds a budget is written in which unit, of how many seconds, and round to what.
_NEAT = ((90, "s", 1, 10), (900, "m", 60, 1), (7200, "m", 60, 5), (math.inf, "h", 3600, 1))
# Budgets to propose, in minutes; and the share of a whole run that is one worth proposing.
_ROUND = (20, 30, 60, 120, 240, 480, 720, 1440, 2880, 5760, 10080)
_SHARE = 0.1
LONG = 3600.0  # seconds from which on a smaller run is proposed


class Budget(NamedTuple):
    """How much a run may take, seconds or floating-point operations, and how it was written."""

    text: str
    seconds: float | None = None
    flops: float | None = None


def budget(config: Config) -> Budget | None:
    """The budget of a configuration, which has been checked for its form; None of none."""
    text = config["train"].get("budget")
    return None if text is None else parsed(text)


def parsed(text: str) -> Budget:
    """A length of time, as 1h30m, or a number of operations, as 5e15flop."""
    if "flop" in text:
        return Budget(text, flops=float(text.partition("flop")[0]))
    parts = re.findall(r"([\d.]+)([dhms])", text)
    return Budget(text, seconds=sum(float(number) * _SECONDS[unit] for number, unit in parts))


def text(seconds: float) -> str:
    """The shortest budget of at least so many seconds that is a round number."""
    unit, size, step = next(row[1:] for row in _NEAT if seconds <= row[0])
    return f"{math.ceil(seconds / (size * step)) * step}{unit}"


def text_of_flops(flops: float) -> str:
    """The shortest budget of at least so many operations, one or more, of two digits."""
    last = math.floor(math.log10(flops)) - 1
    digits = math.ceil(round(flops / 10.0**last, 9))  # 2e11 are 20 times 1e10 and no more
    return f"{float(f'{digits}e{last}'):g}flop".replace("e+", "e")


def proposed(seconds: float) -> str:
    """A budget for a smaller run than one of so many seconds: a tenth of it, or a few minutes."""
    fitting = [minutes for minutes in _ROUND if minutes * 60 <= seconds * _SHARE]
    minutes = fitting[-1] if fitting else _ROUND[0]
    return f"{minutes}m" if minutes < 60 else f"{minutes // 60}h"


def is_same(config: Config, other: Config) -> bool:
    """Whether two configurations have one budget, however it is written."""
    mine, theirs = budget(config), budget(other)
    if mine is None or theirs is None:
        return mine is theirs
    return mine[1:] == theirs[1:]


def planned(config: Config, steps: int) -> Config:
    """The configuration of a run that its budget ends after `steps` steps, never after its own.

    Warm-up that is more than a tenth shrinks as the run does, and a short run is logged, measured
    and saved more often.
    """
    train = config["train"]
    if steps >= train["steps"]:
        return config
    scaled = round(train["warmup"] * steps / train["steps"])
    warmup = max(scaled, min(train["warmup"], steps // 10))
    often = {key: min(train[key], max(1, steps // parts)) for key, parts in _PARTS.items()}
    return config | {"train": train | {"steps": steps, "warmup": warmup} | often}


def taken_over(config: Config, before: Config) -> Config:
    """A configuration with the steps that were planned before for the same budget, if any were."""
    if budget(config) is None or not is_same(config, before):
        return config
    again = {"budget": before["train"]["budget"]}  # as it was written
    return planned(config | {"train": config["train"] | again}, before["train"]["steps"])


def outgrown(layers: Sequence[Layer]) -> list[Layer]:
    """The layers of a run, first what it says itself, without its budget if steps alone are given.

    So a run that a budget has shortened may grow, as others may.
    """
    told = {key for layer in layers[1:] for key in layer.values.get("train", {})}
    is_outgrown = "steps" in told and "budget" not in told
    return [*layers, *[Layer("--steps", {"train": {"budget": None}})] * is_outgrown]
