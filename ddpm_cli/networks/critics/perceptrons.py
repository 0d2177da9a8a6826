"""Critics of data without neighbourhoods: points, features, small arrays."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.embeddings import as_exact, harmonics, sinusoid
from ddpm_cli.networks.parts.layers import lookup, with_classes
from ddpm_cli.settings.knobs import Depth, Frequencies, Width

SLOPE = 0.2  # of the leaky nonlinearity, as in Xiao 2022


class mlp(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Perceptron on both flattened states, the level's embedding added in each layer.

    shape: [D, ...] of one state; count: classes, which are added to the embedding. frequencies:
    Fourier features for each value, sin and cos of 2^k x, without which it tells near modes apart
    slowly (Tancik 2020).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        count: int = 0,
        *,
        width: Width = 128,
        depth: Depth = 3,
        frequencies: Frequencies = 0,
    ) -> None:
        super().__init__()
        self.width, self.frequencies = width, frequencies
        self.embed = nn.Sequential(
            nn.Linear(width, width), nn.LeakyReLU(SLOPE), nn.Linear(width, width)
        )
        self.class_embed = lookup(count + 1, width) if count else None
        self.stem = nn.Linear(2 * math.prod(shape) * (1 + 2 * frequencies), width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.out = nn.Linear(width, 1)

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        """x [B, 2 D, ...], noise label [B], classes [B] (None: null class) -> logits [B]."""
        dtype = self.stem.weight.dtype
        features = sinusoid(as_exact(label, self.stem.weight), self.width).to(dtype)
        embedding = with_classes(self.embed(features), self.class_embed, classes)
        h = self.stem(harmonics(x.to(dtype).flatten(1), self.frequencies))
        for layer in self.layers:
            h = layer(F.leaky_relu(h + embedding, SLOPE))
        logits: Tensor = self.out(F.leaky_relu(h, SLOPE))
        return logits[:, 0]
