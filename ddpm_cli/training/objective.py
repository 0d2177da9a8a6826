"""The loss of a batch as a module, so that data-parallel training can wrap it."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.adversary import Critic
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.rng import Rng

Loss = Callable[..., Tensor]
Task = Callable[[Tensor, Rng], Tensor]
Augment = Callable[[Tensor, Rng], tuple[Tensor, Tensor]]
STEP = "step"  # of the run: what a loss may ask for in every run
USUAL = 4  # parameters that come first in every loss: model, images, times, noise
GENERATOR = "generator"  # whom a critic's loss asks for
WAYS = {"teacher": "model=MODEL", "critic": "name=COMPONENT"}  # to have who a loss may ask for
NOBODY: Mapping[str, Any] = MappingProxyType({})


class Objective(nn.Module):
    """Holds a denoiser, classifier or critic and its loss; forward returns the loss of each image.

    task: makes the conditioning images of a conditional model, unless the data give them; augment:
    changes images, and those beside them with them, and tells the network how; beside: who else
    there is, as a teacher. A loss gets what it has a parameter of that name for: it is nothing
    that this module trains.
    """

    def __init__(
        self,
        model: Trained | Critic,
        loss: Loss,
        task: Task | None = None,
        augment: Augment | None = None,
        beside: Mapping[str, Any] = NOBODY,
    ) -> None:
        super().__init__()
        self.model = model
        self._loss, self._task, self._augment = loss, task, augment
        self._beside, self._asked = dict(beside), asked(loss)
        if missing := self._asked - {STEP, GENERATOR, *beside}:
            what = f"there is no {min(missing)}"
            raise ValueError(f"{what}; --set {min(missing)}.{WAYS[min(missing)]}")

    def forward(
        self, x0: Tensor, t: Tensor, rng: Rng, conditions: Conditions, step: int = 0
    ) -> Tensor:
        """x0 [B, ...] as the network sees it, times t [B], conditions of x0 -> losses [B].

        step: how many steps the run has made.
        """
        if self._augment is not None or self._task is not None:
            # Data are made in full precision; some of what spoils images knows no other.
            with torch.autocast(x0.device.type, enabled=False):
                x0, conditions = self._made(x0, rng, conditions)
        beside = {**self._beside, STEP: step}
        wanted = {name: beside[name] for name in self._asked}
        return self._loss(self.model, x0, t, rng, **wanted, **conditions)

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


def asked(loss: Loss) -> set[str]:
    """What a loss asks for beside the model, images, times, noise and conditions."""
    return {STEP, GENERATOR, *WAYS}.intersection([*inspect.signature(loss).parameters][USUAL:])
