"""Everything a training run carries from step to step, and how it is written and restored."""

import copy
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule

Draw = Callable[[Schedule, int, Rng], tuple[Tensor, Tensor]]


@runtime_checkable
class Remembering(Protocol):
    """A draw of training times that learns from the losses it led to."""

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Take in the losses [B] at the times [B] of a whole batch."""

    def tensors(self) -> dict[str, Tensor]:
        """What must be written to go on."""

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""


class State:
    """A denoiser or classifier, its moving average, optimizer, draw and number of steps made.

    Data order, noise and dropout depend on (seed, step, position) alone, so no generator has a
    state to keep.
    """

    def __init__(self, model: Trained, optimizer: torch.optim.Optimizer, draw: Draw) -> None:
        self.model = model
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.optimizer = optimizer
        self.draw = draw
        self.step = 0
        self.window = Window(next(model.network.parameters()).device)

    def update_average(self, decay: float) -> None:
        """average = decay * average + (1 - decay) * weights."""
        average = [parameter.detach() for parameter in self.average.parameters()]
        weights = [parameter.detach() for parameter in self.model.parameters()]
        torch._foreach_lerp_(average, weights, 1 - decay)
        for kept, now in zip(self.average.buffers(), self.model.buffers(), strict=True):
            kept.copy_(now)

    def tensors(self) -> dict[str, Tensor]:
        """All that must be written to go on bit for bit."""
        found = {f"weights.{k}": v for k, v in self.model.weights().items()}
        found |= {f"average.{k}": v for k, v in self.average.weights().items()}
        for name, parameter in self._trained():
            slots = self.optimizer.state[parameter]
            found |= {f"optimizer.{name}.{slot}": slots[slot] for slot in slots}
        if isinstance(self.draw, Remembering):
            found |= {f"draw.{k}": v for k, v in self.draw.tensors().items()}
        return found | {"window": self.window.sums}

    def finite(self) -> bool:
        """Whether all that would be written is finite."""
        return all(
            bool(torch.isfinite(tensor).all())
            for tensor in self.tensors().values()
            if tensor.is_floating_point()
        )

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `tensors` returned after `step` steps."""

        def part(prefix: str) -> dict[str, Tensor]:
            cut = len(prefix)
            return {k[cut:]: v for k, v in tensors.items() if k.startswith(prefix)}

        self.model.load_weights(part("weights."))
        self.average.load_weights(part("average."))
        if isinstance(self.draw, Remembering):
            self.draw.load(part("draw."))
        for name, parameter in self._trained():
            self.optimizer.state[parameter] = {
                slot: _placed(slot, value, parameter)
                for slot, value in part(f"optimizer.{name}.").items()
            }
        self.window.sums.copy_(tensors["window"])
        self.step = step

    def _trained(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Trained parameters by the names that checkpoints use."""
        names = dict(zip(self.model.state_dict(), self.model.weights(), strict=True))
        for name, parameter in self.model.named_parameters():
            if parameter.requires_grad:
                yield names[name], parameter


def _placed(slot: str, value: Tensor, parameter: Tensor) -> Tensor:
    """Moments lie in memory as their parameter does, which the fused optimizer asks for."""
    if slot == "step":
        return value.to(parameter.device)
    return torch.empty_like(parameter).copy_(value)


def quartile(t: Tensor) -> Tensor:
    """Which quarter of the noise levels the times t [B] lie in: 0, the cleanest, to 3."""
    return (t * 4).long().clamp(0, 3)


class Window:
    """Sums since the last line of metrics: the loss by quartile of t, and gradient norms.

    They stay on the device, so that a step needs no synchronization with it.
    """

    def __init__(self, device: torch.device) -> None:
        dtype = torch.float32 if device.type == "mps" else torch.float64
        self.sums = torch.zeros(10, dtype=dtype, device=device)

    def add(self, t: Tensor, losses: Tensor, norm: Tensor) -> None:
        """Count a batch: times [B], losses [B], the gradient's norm."""
        rows = quartile(t).to(self.sums.device, non_blocking=True)
        self.sums[:4].index_add_(0, rows, losses.detach().to(self.sums))
        self.sums[4:8].index_add_(0, rows, torch.ones_like(losses).to(self.sums))
        self.sums[8] += norm.detach().to(self.sums)
        self.sums[9] += 1

    def gather(self, ranks: int) -> None:
        """Add up the sums of all processes, in each of them."""
        if ranks > 1:
            torch.distributed.all_reduce(self.sums)

    def keep(self, rank: int) -> None:
        """After `gather`, leave the sums with the first process alone."""
        if rank:
            self.clear()

    def finite(self) -> bool:
        """Whether every loss and gradient since the last line was finite."""
        return bool(torch.isfinite(self.sums).all())

    def summary(self) -> dict[str, float]:
        """Mean loss, mean loss by quartile of t (q1 the cleanest) and mean gradient norm."""
        sums = self.sums.tolist()
        values = {"loss": sum(sums[:4]) / sum(sums[4:8])}
        for number in range(4):
            if sums[4 + number] > 0:
                values[f"loss_q{number + 1}"] = sums[number] / sums[4 + number]
        return values | {"grad_norm": sums[8] / sums[9]}

    def clear(self) -> None:
        """Start the next line."""
        self.sums.zero_()
