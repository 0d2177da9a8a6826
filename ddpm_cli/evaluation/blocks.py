"""Errors of any metric, by measuring it on several blocks of images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.measures import Measure


@dataclass(frozen=True)
class Spread:
    """What blocks say of one number: their mean with its standard error, and their ends."""

    mean: float
    error: float
    low: float
    high: float
    each: tuple[float, ...]


def split(side: Evidence, count: int = 3) -> list[Evidence]:
    """A side as blocks of equal size in the order of its images; a remainder is left out."""
    size = side.count // count
    if not size:
        raise Refusal(f"{side.name}: {side.count} images are no {count} blocks")
    every = torch.arange(count * size)
    return [side.only(places) for places in torch.split(every, size)]


def over_blocks(
    metric: Callable[[Evidence], Measure], blocks: Sequence[Evidence]
) -> Mapping[str, Spread]:
    """Each number of a metric over blocks of samples, as EDM draws three of 50,000 seeds each.

    The error is the deviation of the blocks (n - 1 in the denominator) over the root of their
    number. A biased metric, as fid, is that of as many images as one block has.
    """
    if len(blocks) < 2:
        raise Refusal("an error over blocks takes two blocks or more")
    said = [metric(block).values for block in blocks]
    return {name: spread([values[name] for values in said]) for name in said[0]}


def spread(each: Sequence[float]) -> Spread:
    """Mean, standard error of the mean, and both ends of a few numbers."""
    error = stdev(each) / len(each) ** 0.5
    return Spread(fmean(each), error, min(each), max(each), tuple(each))


def jackknife(
    metric: Callable[[Evidence], Measure], side: Evidence, count: int = 10
) -> Mapping[str, float]:
    """Standard errors of a metric of all images, by leaving out one of `count` blocks each time.

    sqrt((g - 1) / g sum (theta_i - mean)^2) (Tukey 1958), where more images cannot be drawn; a
    bias that hardly changes between n and n (g - 1) / g images does no harm. It is for smooth
    metrics: balls of neighbours and copies change with what is left out.
    """
    size = side.count // count
    if count < 2 or not size:
        raise Refusal(f"{side.name}: {side.count} images are no {count} blocks")
    block = torch.arange(side.count) * count // side.count
    said = [metric(side.only((block != i).nonzero()[:, 0])).values for i in range(count)]
    errors = {}
    for name in said[0]:
        each = [values[name] for values in said]
        errors[name] = ((count - 1) / count * sum((v - fmean(each)) ** 2 for v in each)) ** 0.5
    return errors
