"""Everything a training run carries from step to step, and how it is written and restored."""

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.training import sharding
from ddpm_cli.training.averages import Spacing
from ddpm_cli.training.players import MODEL, Player, part

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
    """The players of a run, the draw of its times and the number of steps made.

    Data order, noise and dropout depend on (seed, step, position) alone, so no generator has a
    state to keep. Tensors of the model are written by their own names, those of other players
    behind the player's name: "critic.weights.out.bias". spacing: when the model's averages for
    later are kept, if it has any.
    """

    def __init__(
        self, players: dict[str, Player], draw: Draw, spacing: Spacing | None = None
    ) -> None:
        self.players = players
        self.draw = draw
        self.spacing = spacing
        self.step = 0

    @property
    def model(self) -> Trained:
        """The denoiser or classifier that the run is about."""
        return cast(Trained, self.players[MODEL].module)

    @property
    def average(self) -> Trained:
        """The moving average of the model, which its checkpoint holds."""
        return cast(Trained, self.players[MODEL].average)

    @property
    def lengths(self) -> tuple[float, ...]:
        """The lengths of the model's averages for later."""
        averages = self.players[MODEL].averages
        return () if averages is None else averages.lengths

    def clear_gradients(self) -> None:
        """Forget the gradients of all players: a loss of one may reach through another."""
        for player in self.players.values():
            player.module.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """All that must be written to go on bit for bit."""
        kept = {
            _prefix(name) + key: value
            for name, player in self.players.items()
            for key, value in player.tensors().items()
        }
        if isinstance(self.draw, Remembering):
            kept |= {f"draw.{k}": v for k, v in self.draw.tensors().items()}
        return kept

    def finite(self) -> bool:
        """Whether all that would be written is finite, of what is shared out this one's share."""
        return all(
            bool(torch.isfinite(sharding.own(tensor)).all())
            for tensor in self.tensors().values()
            if tensor.is_floating_point()
        )

    @property
    def is_shared(self) -> bool:
        """Whether the weights are shared out among processes."""
        return any(map(sharding.is_shared, self.players[MODEL].module.parameters()))

    def load(self, tensors: dict[str, Tensor], step: int) -> None:
        """Take over what `tensors` returned after `step` steps."""
        for name, player in self.players.items():
            player.load(part(tensors, _prefix(name)))
        if isinstance(self.draw, Remembering):
            self.draw.load(part(tensors, "draw."))
        self.step = step


def _prefix(name: str) -> str:
    return "" if name == MODEL else f"{name}."
