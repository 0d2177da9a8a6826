"""How strongly a model is guided, told to its network so that one pass is enough (Meng 2023)."""

import torch
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.conditions.values import described
from ddpm_cli.networks.parts.embeddings import as_exact
from ddpm_cli.settings.knobs import Strength

FEATURES = 64  # sinusoids of it


class strength:  # noqa: N801  (a table is named as it is called in a config)
    """The scale of guidance as a number that a student is told (Meng 2023, section 3.1).

    low, high: between which two a student learns it; 1 is no guidance. When it draws it is told
    guidance.scale.
    """

    tokens = 0
    drop = drop_each = 0.0

    def __init__(self, *, low: Strength = 1.0, high: Strength = 4.0) -> None:
        if low > high:
            raise ValueError(f"low {low:g} is above high {high:g}")
        self.null = torch.ones(1, device="cpu")
        self.low, self.high = low, high

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads it, with vectors of this width."""
        return Scales(width)


class Scales(nn.Module):
    """Scales [B, 1] -> vectors [B, E], which begin at 0: a student begins as its teacher is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(FEATURES + 1, width)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, rows: Tensor) -> Seen:
        """Scales [B, 1] of guidance -> Seen with a vector."""
        weight = self.project.weight
        seen = described(as_exact(rows, weight), FEATURES).flatten(1)
        return Seen(self.project(seen.to(weight.dtype)))
