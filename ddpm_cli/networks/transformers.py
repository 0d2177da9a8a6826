"""A diffusion transformer on patches of pixels: plain matrix products, which suit any machine."""

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks.conditions import NONE, Recipe, Seen, Told, added, tokens
from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.networks.parts.layers import (
    beside,
    dense,
    divided,
    lookup,
    refuse_no_images,
    with_classes,
    zero,
)
from ddpm_cli.networks.parts.stages import fold, unfold
from ddpm_cli.networks.parts.tokens import AdaptiveBlock, apart, normed, places, rotations, small
from ddpm_cli.settings.knobs import (
    Bottleneck,
    Classes,
    Depth,
    Fraction,
    Heads,
    Patch,
    Ratio,
    Width,
)

FEATURES = 256  # of the noise label, whatever the width


class dit(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Diffusion transformer: patches of pixels as tokens, blocks of adaLN-zero (Peebles 2023).

    shape: [C, H, W] of the images; extra: channels of a conditioning image, seen beside the noisy
    one; told: as for unet, the sequence of a text by cross-attention in each block (Chen 2024).
    patch: so many pixels a side become a token. ratio: width of the perceptrons in widths of the
    network. positions: added sines and cosines, or rotations of
    queries and keys (rope). overlap: patches are read and written with their neighbours, by 3x3
    convolutions of patches, against seams. bottleneck: patches pass so many numbers on their way
    in, 0 for none (Li 2025).
    inject: the vector of what it is told goes with that of the label, by which the blocks scale
    and shift, or is added to each token. embedding, classes, learned_variance: as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        told: Mapping[str, Recipe] = NONE,
        *,
        patch: Patch = 4,
        width: Width = 192,
        depth: Depth = 4,
        heads: Heads = 4,
        ratio: Ratio = 4.0,
        positions: Literal["sincos", "rope"] = "sincos",
        norm: Literal["layer", "rms"] = "layer",
        activation: Literal["gelu", "gelu-tanh", "swiglu"] = "gelu",
        qk_norm: bool = False,
        overlap: bool = True,
        bottleneck: Bottleneck = 0,
        embedding: Literal["sinusoid", "endpoint"] = "sinusoid",
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        inject: Literal["adaptive", "add"] = "adaptive",
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        refuse_no_images(shape)
        _refuse_indivisible(width, heads, positions)
        channels = shape[0]
        outputs = 2 * channels if learned_variance else channels
        self.patch, self.classes, self.width, self.extra = patch, classes, width, extra
        self.heads, self.norm, self.positions = heads, norm, positions
        self.embedding = embedding
        self.embed = nn.Sequential(
            small(nn.Linear(FEATURES, width)), nn.SiLU(), small(nn.Linear(width, width))
        )
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = lookup(classes + 1, width) if classes else None
        if self.class_embed is not None:
            self.class_embed.weight.data.mul_(0.02)
        self.told, self.inject = Told(told, width, FEATURES), inject
        seen, kernel = (channels + extra) * patch**2, 3 if overlap else 1
        narrow = apart(nn.Conv2d(seen, bottleneck or width, kernel, padding=kernel // 2))
        self.stem: nn.Module = narrow
        if bottleneck:
            self.stem = nn.Sequential(narrow, nn.Conv2d(bottleneck, width, 1))
        self.blocks = nn.ModuleList(
            AdaptiveBlock(
                width,
                heads=heads,
                ratio=ratio,
                norm=norm,
                activation=activation,
                qk_norm=qk_norm,
                dropout=dropout,
                tokens=tokens(told),
            )
            for _ in range(depth)
        )
        self.modulate = nn.Linear(width, 2 * width)
        zero(self.modulate)
        self.out = zero(nn.Conv2d(width, outputs * patch**2, kernel, padding=kernel // 2))

    def forward(
        self,
        x: Tensor,
        label: Tensor,
        classes: Tensor | None = None,
        image: Tensor | None = None,
        **told: Tensor | None,
    ) -> Tensor:
        """x [B, C, H, W], noise label [B], classes [B] (None: null class) -> [B, out, H, W].

        image: the conditioning image [B, extra, H, W]; told: the other conditions, by kind.
        """
        seen = self.told(told, x)
        embedding = self._embedded(label, classes, seen)
        height, width = x.shape[-2:]
        x = x.to(self.dtype)
        x = beside(x, image)
        h = self.stem(dense(fold(x, self.patch))).permute(0, 2, 3, 1)
        batch, rows, columns, _ = h.shape
        h, turns = h.reshape(batch, rows * columns, self.width), None
        if self.positions == "sincos":
            h = h + places(rows, columns, self.width, h.device).to(h.dtype)
        else:
            turns = rotations(rows, columns, self.width // self.heads, h.device)
        if self.inject == "add" and seen.vector is not None:
            h = added(h, seen.vector[:, None])
        for block in self.blocks:
            h = block(h, embedding, turns, seen)
        shift, scale = self.modulate(embedding)[:, None].chunk(2, dim=-1)
        h = torch.addcmul(shift, normed(h, self.norm), 1 + scale)
        h = self.out(h.reshape(batch, rows, columns, self.width).permute(0, 3, 1, 2))
        return unfold(h, self.patch)[..., :height, :width]

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self.modulate.bias.dtype

    def _embedded(self, label: Tensor, classes: Tensor | None, seen: Seen) -> Tensor:
        """The noise label and what is told as one vector [B, width], already activated."""
        exact = as_exact(label, self.modulate.bias)
        features = sinusoid(exact, FEATURES, endpoint=self.embedding == "endpoint")
        embedding: Tensor = self.embed(added(features.to(self.dtype), seen.features))
        embedding = with_classes(embedding, self.class_embed, classes)
        return F.silu(added(embedding, seen.vector if self.inject == "adaptive" else None))


def _refuse_indivisible(width: int, heads: int, positions: str) -> None:
    """Refuse a width that its heads, or the sines and cosines of two axes, do not share evenly."""
    divided(width, heads)
    if positions == "rope" and width // heads % 4:
        what = f"heads of {width // heads} channels do not turn by rows and columns"
        raise ConfigError(f"network.heads: {what}; give them a multiple of 4 channels")
    if width % 4:
        raise ConfigError(f"network.width: {width} is no multiple of 4; choose one")
