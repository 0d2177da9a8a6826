"""The loss of a batch as a module, so that data-parallel training can wrap it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.rng import Rng

Loss = Callable[..., Tensor]
Task = Callable[[Tensor, Rng], Tensor]


class Objective(nn.Module):
    """Holds the denoiser or classifier and its loss; forward returns the loss of each image.

    task: makes the conditioning images of a conditional model, unless the data give them.
    """

    def __init__(self, model: Trained, loss: Loss, task: Task | None = None) -> None:
        super().__init__()
        self.model = model
        self._loss, self._task = loss, task

    def forward(self, x0: Tensor, t: Tensor, rng: Rng, conditions: Conditions) -> Tensor:
        """x0 [B, ...] as the network sees it, times t [B], conditions of x0 -> losses [B]."""
        if self._task is not None and "image" not in conditions:
            # Data are made in full precision; some of what spoils images knows no other.
            with torch.autocast(x0.device.type, enabled=False):
                conditions = conditions | {"image": self._task(x0, rng)}
        return self._loss(self.model, x0, t, rng, **conditions)
