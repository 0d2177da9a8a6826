"""A residual perceptron for data without neighbourhoods: features, points, small arrays."""

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import NONE, Recipe, Told, added
from ddpm_cli.networks.parts.embeddings import harmonics, sinusoid
from ddpm_cli.networks.parts.layers import lookup, with_classes, zero
from ddpm_cli.settings.knobs import Classes, Depth, Fraction, Frequencies, Width


class mlp(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Residual perceptron on the flattened data, for any shape; best for small ones.

    shape: [D, ...] of one row; extra: unet's alone; told: as for unet. depth: residual blocks.
    frequencies: Fourier features for each input value, sin and cos of 2^k x, which sharpen what
    is learned in few dimensions (Tancik 2020). inject: the vector of what it is told goes with
    that of the label, by which the blocks scale and shift, or is added to what they see. classes,
    learned_variance: as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        told: Mapping[str, Recipe] = NONE,
        *,
        width: Width = 128,
        depth: Depth = 3,
        frequencies: Frequencies = 0,
        embedding: Width = 64,
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        inject: Literal["adaptive", "add"] = "adaptive",
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        if extra:
            raise ValueError("it sees no conditioning image; --set network.name=unet")
        self.classes, self.embedding, self.frequencies = classes, embedding, frequencies
        self.shape = (2 * shape[0] if learned_variance else shape[0], *shape[1:])
        inputs, outputs = math.prod(shape), math.prod(self.shape)
        self.embed = nn.Sequential(nn.Linear(embedding, width), nn.SiLU(), nn.Linear(width, width))
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, width) if classes else None
        self.told, self.inject = Told(told, width, embedding), inject
        self.told.refuse_unseen()
        self.stem = nn.Linear(inputs * (1 + 2 * frequencies), width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.head = nn.LayerNorm(width)
        self.out = zero(nn.Linear(width, outputs))
        # At low noise the exact answer is close to linear in x with a slope as steep as
        # 1 / sigma, which blocks of bounded slope are slow to learn.
        self.slope = zero(nn.Linear(width, outputs))

    def forward(
        self, x: Tensor, label: Tensor, classes: Tensor | None = None, **told: Tensor | None
    ) -> Tensor:
        """x [B, D, ...], noise label [B], classes [B] (None: null class) -> [B, D or 2 D, ...].

        told: the other conditions, by kind; of a sequence it sees the vector alone.
        """
        dtype = self.stem.weight.dtype
        seen = self.told(told, x)
        features = added(sinusoid(label, self.embedding).to(dtype), seen.features)
        embedding = with_classes(self.embed(features), self.class_embed, classes)
        beside = self.inject == "add"
        embedding = F.silu(added(embedding, None if beside else seen.vector))
        flat = x.to(dtype).flatten(1)
        h = added(self.stem(harmonics(flat, self.frequencies)), seen.vector if beside else None)
        for block in self.blocks:
            h = block(h, embedding)
        slope: Tensor = self.slope(embedding)
        straight = slope * flat.repeat(1, slope.shape[1] // flat.shape[1])
        out: Tensor = self.out(F.silu(self.head(h))) + straight
        return out.reshape(-1, *self.shape)


class Block(nn.Module):
    """Two layers with the noise level as an adaptive norm between them, and a residual."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.embed = nn.Linear(width, 2 * width)
        self.expand = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.project = zero(nn.Linear(width, width))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, W], embedding [B, W] already activated -> the same shape."""
        shift, scale = self.embed(embedding).chunk(2, dim=1)
        h = torch.addcmul(shift, self.norm(x), 1 + scale)
        h = self.expand(F.silu(h))
        out: Tensor = x + self.project(self.dropout(F.silu(h)))
        return out
