"""What is trained in a run: modules by name, each with its optimizer and its moving average.

A plain run has one, the model; a critic beside it would be another. What is not trained, as a
teacher, belongs to an objective instead.
"""

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import weights
from ddpm_cli.training import sharding
from ddpm_cli.training.averages import Averages
from ddpm_cli.training.optimizers import Optimizer
from ddpm_cli.training.window import Window

Module = TypeVar("Module", bound=nn.Module)

MODEL = "model"  # the player that a run is about: what its checkpoint holds
CRITIC = "critic"


@dataclass
class Player:
    """A module, what trains it, and the average of its weights, if one is wanted.

    averages: those that are kept for later beside it; pace: its learning rate as a multiple of the
    run's; window: its losses and gradients since the last line of metrics.
    """

    module: nn.Module
    optimizer: Optimizer
    average: nn.Module | None = None
    averages: Averages | None = None
    pace: float = 1.0
    window: Window = field(init=False)

    def __post_init__(self) -> None:
        self.window = Window(next(self.module.parameters()).device)

    def step(
        self, *, lr: float, betas: tuple[float, float], weight_decay: float, clip: float
    ) -> Tensor:
        """Follow the gradient that lies in the module, shortened to `clip` (0: as it is).

        Returns its norm before.
        """
        lr *= self.pace
        for group in self.optimizer.param_groups:
            group["lr"], group["betas"], group["weight_decay"] = lr, betas, weight_decay
        norm = sharding.clipped(self.module.parameters(), clip or math.inf)
        self.optimizer.step()
        return norm

    def update_average(self, decay: float) -> None:
        """average = decay * average + (1 - decay) * weights."""
        if self.average is None:
            return
        average = [sharding.own(parameter.detach()) for parameter in self.average.parameters()]
        now = [sharding.own(parameter.detach()) for parameter in self.module.parameters()]
        torch._foreach_lerp_(average, now, 1 - decay)
        for kept, buffer in zip(self.average.buffers(), self.module.buffers(), strict=True):
            kept.copy_(buffer)

    def update_averages(self, step: int) -> None:
        """Take the weights behind a step into the averages for later."""
        if self.averages is not None:
            self.averages.update(step)

    def tensors(self) -> dict[str, Tensor]:
        """All that must be written to go on bit for bit."""
        kept = {f"weights.{k}": v for k, v in weights.named(self.module).items()}
        if self.average is not None:
            kept |= {f"average.{k}": v for k, v in weights.named(self.average).items()}
        if self.averages is not None:
            kept |= {f"averages.{k}": v for k, v in self.averages.tensors().items()}
        for name, parameter in self._trained():
            slots = self.optimizer.state[parameter]
            kept |= {f"optimizer.{name}.{slot}": slots[slot] for slot in slots}
        return kept | {"window": self.window.sums}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        _take(self.module, part(tensors, "weights."))
        if self.average is not None:
            _take(self.average, part(tensors, "average."))
        if self.averages is not None:
            self.averages.load(part(tensors, "averages."))
        for name, parameter in self._trained():
            self.optimizer.state[parameter] = {
                slot: _placed(slot, value, parameter)
                for slot, value in part(tensors, f"optimizer.{name}.").items()
            }
        self.window.sums.copy_(tensors["window"])

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trained parameters by the names that checkpoints use."""
        names = dict(zip(self.module.state_dict(), weights.named(self.module), strict=True))
        for name, parameter in self.module.named_parameters():
            if parameter.requires_grad:
                yield names[name], parameter


def frozen(module: Module) -> Module:
    """A copy that is not trained, to average in."""
    return copy.deepcopy(module).eval().requires_grad_(False)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start so, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _take(module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Take over weights, each process its share of those that are shared out."""
    mine = weights.named(module)
    shares = {k: sharding.shared_as(v, mine[k]) if k in mine else v for k, v in tensors.items()}
    weights.take(module, shares)


def _placed(slot: str, value: Tensor, parameter: Tensor) -> Tensor:
    """Moments lie in memory as their parameter does, which the fused optimizer asks for."""
    if slot == "step":
        return value.to(parameter.device)
    return torch.empty_like(parameter).copy_(sharding.shared_as(value, parameter))
