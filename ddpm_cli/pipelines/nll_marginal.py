"""The likelihood of rows whatever their class is: the mean over all classes."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models.classes import ALL
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


def over_classes(measure: Way, shares: Sequence[float], size: int) -> Way:
    """Bits per dimension of p(x) = sum_k p(k) p(x given k), where `measure` has those given k.

    shares: p(k) of each class; size: dimensions of a row. Each class sees the same noise. Of
    bounds it is a bound.
    """

    def measured(x0: Tensor, numbers: Sequence[int], told: Conditions) -> Tensor | None:
        logs = []
        for label, share in enumerate(shares):
            if not share:
                continue
            bits = measure(x0, numbers, {**told, "classes": torch.full((len(x0),), label)})
            if bits is None:
                return None
            logs.append(math.log(share) - bits * size * math.log(2))
        return torch.stack(logs).logsumexp(0) / (-size * math.log(2))

    return measured
