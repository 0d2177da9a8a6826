"""Sums over the steps between two lines of metrics."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.shapes import sent


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

    def add(self, t: Tensor, losses: Tensor, norm: Tensor, *, leads: bool = True) -> None:
        """Count a batch: times [B], losses [B], the gradient's norm.

        The norm is that of all processes, so the one that leads counts it for all.
        """
        rows = sent(quartile(t), self.sums.device)
        self.sums[:4].index_add_(0, rows, losses.detach().to(self.sums))
        self.sums[4:8].index_add_(0, rows, torch.ones_like(losses).to(self.sums))
        if leads:
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
        """Mean loss, mean loss by quartile of t (q1 the cleanest) and mean gradient norm.

        Nothing, if there was no step.
        """
        sums = self.sums.tolist()
        if not sums[9]:
            return {}
        values = {"loss": sum(sums[:4]) / sum(sums[4:8])}
        for number in range(4):
            if sums[4 + number] > 0:
                values[f"loss_q{number + 1}"] = sums[number] / sums[4 + number]
        return values | {"grad_norm": sums[8] / sums[9]}

    def clear(self) -> None:
        """Start the next line."""
        self.sums.zero_()
