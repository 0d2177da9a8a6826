"""A vector that is told of an image, as a decoder is told of CLIP's."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.settings.knobs import Fraction, Width


class vector:  # noqa: N801  (a table is named as it is called in a config)
    """What an encoder makes of each image, for a decoder to make an image of (Ramesh 2022).

    size: how many numbers a vector has. encoder: a trained classifier or CLIP, as -m takes it;
    training alone asks it. drop: how often no vector is told.
    """

    tokens = 0
    drop_each = 0.0

    def __init__(self, *, size: Width = 128, encoder: str = "", drop: Fraction = 0.1) -> None:
        self.null = torch.full((size,), math.nan, device="cpu")
        self.drop = drop

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads it, with vectors of this width."""
        return Projection(len(self.null), width)


class Projection(nn.Module):
    """Vectors [B, D] -> vectors [B, E] by a small perceptron; no vector has its own."""

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Linear(size + 1, width)
        self.out = nn.Linear(width, width)

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, D], NaN where nothing is told -> Seen with a vector."""
        told = ~rows.isnan().any(-1, keepdim=True)
        whole = torch.where(told, rows, torch.zeros_like(rows))
        seen = torch.cat([whole, told.to(rows)], dim=-1).to(self.stem.weight.dtype)
        return Seen(self.out(F.silu(self.stem(seen))))
