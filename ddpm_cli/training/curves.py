"""How the learning rate and the moving average go with the steps of a run."""

import math
from functools import cache


def rate(
    step: int, steps: int, warmup: int, decay: str, *, flat: int = 1000, cooldown: float = 0.2
) -> float:
    """Share of the learning rate at a step: linear warm-up, then constant or falling.

    linear, cosine: to 0 at the end of the run, x = step / steps: 1 - x, (1 + cos(pi x)) / 2.
    rsqrt: 1 / sqrt(max(step / flat, 1)), whatever the run's length (Karras 2024, EDM2).
    wsd: constant, then 1 - sqrt(y) in the last `cooldown` of the run, y rising from 0 to 1 there
    (Hägele 2024). A run made longer before that is the run of the new length, bit for bit; one
    that is made longer later takes its full rate again (Wen 2024, WSD-S).
    """
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    progress = step / steps
    if decay == "cosine":
        return rising * 0.5 * (1 + math.cos(math.pi * progress))
    if decay == "rsqrt":
        return rising / math.sqrt(max(step / flat, 1.0))
    if decay == "wsd":
        falling = max(round(cooldown * steps), 1)
        return rising * (1 - math.sqrt(max(step - (steps - falling), 0) / falling))
    return rising * (1 - progress if decay == "linear" else 1.0)


def average_decay(step: int, ema: float, length: float = 0.0) -> float:
    """Decay of the moving average at a step: exponential with warm-up, or a power of the step.

    Exponential, min(ema, (1 + step) / (10 + step)): early averages then cover about a tenth of
    the steps, so that they never lag at the start (the rule of TensorFlow's and Score SDE's
    averages). With a length it is (1 - 1 / n)^(gamma + 1) at the n-th step: weights of step i
    count as i^gamma, so that the average covers the same share of any run (Karras 2024, EDM2,
    eq. 121 to 127); gamma: see `exponent`.
    """
    if length:
        kept: float = (1 - 1 / (step + 1)) ** (exponent(length) + 1)
        return kept
    return min(ema, (1 + step) / (10 + step))


@cache
def exponent(length: float) -> float:
    """The gamma of an average whose standard deviation is `length` of the steps made so far.

    length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3)): the largest root of gamma^3 + 7 gamma^2
    + (16 - length^-2) gamma + 12 - length^-2 (Karras 2024, EDM2, eq. 126); 0.1 -> 6.94.
    """
    # The deviation falls with gamma, and is less than its inverse.
    low, high = 0.0, 1 / max(length, 1e-9)
    while low < (middle := (low + high) / 2) < high:
        wide = (middle + 1) / ((middle + 2) ** 2 * (middle + 3)) > length**2
        low, high = (middle, high) if wide else (low, middle)
    return low
