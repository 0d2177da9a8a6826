"""Numbers that are told of an image: an age, a weight, a length in seconds."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.networks.parts.layers import zero
from ddpm_cli.settings.knobs import Fraction, Width


class values:  # noqa: N801  (a table is named as it is called in a config)
    """Numbers of each image, normalized; NaN is one that is not told.

    count: how many. embedding: of each number by sinusoids, as of the noise level, or of all by a
    small perceptron. features: of the sinusoids of each number. drop: how often none is told.
    """

    tokens = 0

    def __init__(
        self,
        count: int,
        *,
        embedding: Literal["sinusoid", "perceptron"] = "sinusoid",
        features: Width = 64,
        drop: Fraction = 0.1,
    ) -> None:
        self.null = torch.full((count,), math.nan, device="cpu")
        self.drop = drop
        self._features = features if embedding == "sinusoid" else 0

    def module(self, width: int) -> nn.Module:
        """The part of a network that embeds them in vectors of this width."""
        return Numbers(len(self.null), width, self._features)


class Numbers(nn.Module):
    """Numbers [B, V] -> vectors [B, E]: of those that are told, and of which these are."""

    def __init__(self, count: int, width: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.stem = nn.Linear(count * (features + 1 if features else 2), width)
        self.out = zero(nn.Linear(width, width))

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, V], NaN where nothing is told -> Seen with a vector."""
        rows = as_exact(rows, self.stem.weight)
        told = ~rows.isnan()
        numbers = rows.nan_to_num(0.0)
        if self.features:
            # A deviation of data is some 1000 / 4 indices of a noise level wide.
            flat = sinusoid(250 * numbers.flatten(), self.features)
            seen = flat.reshape(*numbers.shape, -1) * told[..., None]
        else:
            seen = numbers[..., None]
        seen = torch.cat([seen, told[..., None].to(seen)], dim=-1).flatten(1)
        return Seen(self.out(F.silu(self.stem(seen.to(self.stem.weight.dtype)))))
