"""The loss of a batch as a module, so that data-parallel training can wrap it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.rng import Rng

Loss = Callable[..., Tensor]
Task = Callable[[Tensor, Rng], Tensor]
Augment = Callable[[Tensor, Rng], tuple[Tensor, Tensor]]


class Objective(nn.Module):
    """Holds the denoiser or classifier and its loss; forward returns the loss of each image.

    task: makes the conditioning images of a conditional model, unless the data give them; augment:
    changes images, and those beside them with them, and tells the network how.
    """

    def __init__(
        self,
        model: Trained,
        loss: Loss,
        task: Task | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self._loss, self._task, self._augment = loss, task, augment

    def forward(self, x0: Tensor, t: Tensor, rng: Rng, conditions: Conditions) -> Tensor:
        """x0 [B, ...] as the network sees it, times t [B], conditions of x0 -> losses [B]."""
        if self._augment is not None or self._task is not None:
            # Data are made in full precision; some of what spoils images knows no other.
            with torch.autocast(x0.device.type, enabled=False):
                x0, conditions = self._made(x0, rng, conditions)
        return self._loss(self.model, x0, t, rng, **conditions)

    def _made(self, x0: Tensor, rng: Rng, conditions: Conditions) -> tuple[Tensor, Conditions]:
        """Images changed, and what the task makes of them, unless that is given."""
        if self._augment is not None:
            x0, conditions = self._changed(x0, rng, conditions, self._augment)
        if self._task is not None and "image" not in conditions:
            conditions = conditions | {"image": self._task(x0, rng)}
        return x0, conditions

    def _changed(
        self, x0: Tensor, rng: Rng, conditions: Conditions, augment: Augment
    ) -> tuple[Tensor, Conditions]:
        """Images changed, the image beside each alike, and conditions that say how."""
        given, channels = conditions.get("image"), x0.shape[1]
        both = x0 if given is None else torch.cat([x0, given.to(x0)], dim=1)
        changed, labels = augment(both, rng)
        told = conditions | {"augment": labels}
        if given is not None:
            told["image"] = changed[:, channels:]
        return changed[:, :channels], told
