"""Types of options that are numbers: each has two ends, and is finite."""

import math
from typing import Any

import click


def whole(low: int = 1, high: int = 1_000_000_000) -> click.IntRange:
    """An integer from low to high."""
    return click.IntRange(low, high)


class Number(click.FloatRange):
    """A number within a range; "nan", which lies in all of them for Click, is refused."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


def number(low: float, high: float, *, min_open: bool = False) -> Number:
    """A number from low to high; min_open: more than low."""
    return Number(low, high, min_open=min_open)
