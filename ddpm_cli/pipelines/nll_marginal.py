"""The likelihood of rows whatever their class is: the mean over all classes."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.dequantization import crossed_sum
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models.classes import ALL
from ddpm_cli.pipelines.meter import Meter
from ddpm_cli.pipelines.nll_plan import Measure
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.nll_requests import Nll

Way = Callable[[Tensor, Sequence[int], Conditions], Tensor | None]


def shares(request: Nll, config: Config, info: DataInfo) -> tuple[float, ...]:
    """How often each class is, where the mean over all of them is asked for; else nothing."""
    if request.use.label != ALL:
        return ()
    count = checks.classes(config)
    if not count:
        raise ConfigError("--class all: this model was trained without classes; leave it out")
    for option, path in (("--terms", request.terms), ("--rate-distortion", request.curve)):
        if path is not None:
            what = "a mean over classes has no terms"
            raise ConfigError(f"{option}: {what}; leave it out, or name one --class")
    return tuple(info.frequencies or (1 / count,) * count)


def times(shares: Sequence[float], measure: Measure) -> int:
    """How often a row is measured: once, or once or twice for each class that there is."""
    return max(sum(map(bool, shares)), 1) * (1 if measure.is_exact or not shares else 2)


def over_classes(meter: Meter, shares: Sequence[float]) -> Way:
    """Bits per dimension of p(x) = sum_k p(k) p(x given k), of which `meter` has those given k.

    shares: p(k) of each class. Each class sees the same noise. What is estimated is measured
    twice, of other noise each time, so that an error makes no class the likely one: of bounds it
    is a bound on average.
    """
    ways: list[Way] = [meter]
    if not meter.measure.is_exact:
        ways.append(partial(meter, anew=True))
    return mixed(ways, shares, math.prod(meter.model.info.shape))


def mixed(ways: Sequence[Way], shares: Sequence[float], size: int) -> Way:
    """Bits of a mixture from those of its parts, exact by one way or estimated by two of them."""

    def measured(x0: Tensor, numbers: Sequence[int], told: Conditions) -> Tensor | None:
        logs = []
        for label, share in enumerate(shares):
            if not share:
                continue
            told = {**told, "classes": torch.full((len(x0),), label)}
            each = [bits for way in ways if (bits := way(x0, numbers, told)) is not None]
            if len(each) < len(ways):
                return None
            logs.append(math.log(share) - torch.stack(each) * size * math.log(2))
        every = torch.stack(logs)
        whole = every.logsumexp(0)[0] if len(ways) == 1 else crossed_sum(every)
        return whole / (-size * math.log(2))

    return measured
