"""Numbers that are told of an image: an age, a weight, a length in seconds."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.settings.knobs import Fraction, Width

# Radians for each standard deviation: the slowest sine rises all the way from -4 to 4, so that no
# two numbers are alike; a turn of the fastest, half of one, is what data that are few can say.
SLOWEST, FASTEST = 0.3, 12.0


class values:  # noqa: N801  (a table is named as it is called in a config)
    """Numbers of each image, normalized; NaN is one that is not told.

    count: how many. embedding: of each number by itself and sinusoids, or of all by a small
    perceptron alone. features: sinusoids of each number. drop: how often none is told; drop_each:
    how often each of several is left out by itself, so that others can be told alone.
    """

    tokens = 0

    def __init__(
        self,
        count: int,
        *,
        embedding: Literal["sinusoid", "perceptron"] = "sinusoid",
        features: Width = 64,
        drop: Fraction = 0.1,
        drop_each: Fraction = 0.1,
    ) -> None:
        self.null = torch.full((count,), math.nan, device="cpu")
        self.drop = drop
        self.drop_each = drop_each if count > 1 else 0.0
        self._features = features if embedding == "sinusoid" else 0

    def module(self, width: int) -> nn.Module:
        """The part of a network that embeds them in vectors of this width."""
        return Numbers(len(self.null), width, self._features)


class Numbers(nn.Module):
    """Numbers [B, V] -> vectors [B, E]: of those that are told, and of which these are.

    What is not told has no features, so that its vector is that of the biases, which are learned.
    """

    def __init__(self, count: int, width: int, features: int) -> None:
        super().__init__()
        self.features = features
        self.stem = nn.Linear(count * (features + 2), width)
        self.out = nn.Linear(width, width)

    def forward(self, rows: Tensor) -> Seen:
        """Rows [B, V], NaN where nothing is told -> Seen with a vector."""
        rows = as_exact(rows, self.stem.weight)
        told = ~rows.isnan()
        seen = torch.cat([described(rows.nan_to_num(0.0), self.features), told[..., None]], dim=-1)
        seen = (seen * told[..., None]).flatten(1)
        return Seen(self.out(F.silu(self.stem(seen.to(self.stem.weight.dtype)))))


def described(numbers: Tensor, features: int) -> Tensor:
    """Numbers [B, V] as themselves and their sinusoids: [B, V, 1 + features].

    Beyond what was trained on, it is the number itself that grows.
    """
    period = FASTEST / SLOWEST
    waves = sinusoid(FASTEST * numbers.flatten(), features, period, endpoint=True)
    return torch.cat([numbers[..., None], waves.reshape(*numbers.shape, features)], dim=-1)
