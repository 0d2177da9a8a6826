"""Averages for later: power functions of the step, of which any other can be made afterwards.

Snapshots of them through a run are all that `posthoc` needs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import weights
from ddpm_cli.training import sharding
from ddpm_cli.training.curves import average_decay

_BUFFERS = "buffers."  # names of what is no weight, and of which there is no average


class Spacing(NamedTuple):
    """At which steps averages are kept: so many snapshots, evenly, in a run of `steps`.

    A run that is made longer goes on as it began.
    """

    steps: int
    snapshots: int

    def is_due(self, step: int) -> bool:
        """Whether a snapshot falls on a step."""
        return step * self.snapshots // self.steps > (step - 1) * self.snapshots // self.steps


class Averages:
    """Power-function averages of all weights of a module, one of each length.

    lengths: see `curves.exponent`. What is shared out among processes stays so.
    """

    def __init__(self, module: nn.Module, lengths: Sequence[float]) -> None:
        names = dict(zip(module.state_dict(), weights.named(module), strict=True))
        self.lengths = tuple(lengths)
        self._module = module
        self._names = [names[name] for name, _ in _parameters(module)]
        self._kept = [[now.clone() for now in self._now()] for _ in self.lengths]

    def update(self, step: int) -> None:
        """average = decay * average + (1 - decay) * weights, behind the step of this number."""
        now = list(map(sharding.own, self._now()))
        for length, kept in zip(self.lengths, self._kept, strict=True):
            decay = average_decay(step, 0.0, length)
            torch._foreach_lerp_(list(map(sharding.own, kept)), now, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        """The averages, each behind its number, and the module's buffers as they are."""
        found = {_BUFFERS + name: value for name, value in self._buffers().items()}
        for number, kept in enumerate(self._kept):
            found |= {f"{number}.{k}": v for k, v in zip(self._names, kept, strict=True)}
        return found

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned; buffers are those of the module."""
        for number, kept in enumerate(self._kept):
            for name, mine in zip(self._names, kept, strict=True):
                share = sharding.shared_as(tensors[f"{number}.{name}"], mine)
                sharding.own(mine).copy_(sharding.own(share))

    def _now(self) -> list[Tensor]:
        return [parameter.detach() for _, parameter in _parameters(self._module)]

    def _buffers(self) -> dict[str, Tensor]:
        known = set(self._names)
        return {k: v for k, v in weights.named(self._module).items() if k not in known}


def _parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """All weights by all of their names."""
    return list(module.named_parameters(remove_duplicate=False))
