"""Half a U-Net that tells the class of a noisy image, whose gradient guides diffusion."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.attention import attend
from ddpm_cli.networks.parts.embeddings import as_exact, sinusoid
from ddpm_cli.networks.parts.layers import dense, layout, normalization, zero
from ddpm_cli.networks.parts.stages import Parts, fold, sides, widths_of
from ddpm_cli.settings.knobs import (
    Blocks,
    Classes,
    Epsilon,
    Fraction,
    Heads,
    HeadWidth,
    Multipliers,
    Patch,
    Resolutions,
    Width,
)


class classifier(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """Encoder and middle of the U-Net, pooled to one logit a class (Dhariwal 2021, section 4).

    shape: [C, H, W] of the images; extra: unet's alone. pool: by attention from the mean over all
    pixels, or the mean itself. All else as for unet.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        extra: int = 0,
        *,
        width: Width = 64,
        multipliers: Multipliers = [1, 2],  # noqa: B006  (read, never changed)
        blocks: Blocks = 1,
        attention: Resolutions = [7],  # noqa: B006
        heads: Heads = 1,
        head_width: HeadWidth = 64,
        qkv: Literal["parts", "heads"] = "parts",
        dropout: Fraction = 0.0,
        classes: Classes = 0,
        patch: Patch = 1,
        pool: Literal["attention", "mean"] = "attention",
        scale_shift: bool = False,
        resample_blocks: bool = False,
        plain_resampling: bool = False,
        stem: Literal["width", "level"] = "width",
        norm: Literal["group", "pixel"] = "group",
        groups: Width = 32,
        epsilon: Epsilon = 1e-5,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError(f"no images but data of shape {shape}")
        if extra:
            raise ValueError("it sees no conditioning image; --set task.name=none")
        if not classes:
            raise ValueError("tell it how many classes there are; --set network.classes=10")
        channels, *size = shape
        self.patch, self.classes, self.width = patch, classes, width
        self.layout = layout(norm)
        self.embed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )
        parts = Parts(
            embedded=4 * width,
            dropout=dropout,
            heads=heads,
            head_width=head_width,
            scale_shift=scale_shift,
            resample_blocks=resample_blocks,
            norm=norm,
            groups=groups,
            epsilon=epsilon,
            plain_resampling=plain_resampling,
            qkv=qkv,
        )
        rows, columns = (sides(side, patch, len(multipliers)) for side in size)
        attends = [at in attention for at in rows]
        widths = widths_of(width, multipliers)
        first = widths[0] if stem == "level" else width
        self.stem = nn.Conv2d(channels * patch**2, first, 3, padding=1)
        self.down, _ = parts.encoder(first, widths, blocks, attends)
        last = widths[-1]
        self.middle = parts.middle(last)
        self.head = nn.Sequential(normalization(norm, last, groups, epsilon), nn.SiLU())
        self.pool: nn.Module = Mean()
        if pool == "attention":
            self.pool = AttentionPool(last, rows[-1] * columns[-1], parts.heads_of(last))
        self.out = zero(nn.Linear(last, classes))

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x [B, C, H, W], noise label [B] -> logits [B, classes]."""
        dtype = self.stem.weight.dtype
        label = as_exact(label, self.stem.weight)
        embedding = F.silu(self.embed(sinusoid(label, self.width).to(dtype)))
        h = self.stem(dense(fold(x.to(dtype), self.patch), self.layout))
        for stage in self.down:
            h = stage(h, embedding)
        h = self.middle(h, embedding)
        logits: Tensor = self.out(self.pool(self.head(h)))
        return logits


class AttentionPool(nn.Module):
    """What the mean of all pixels attends to, each pixel with an embedding of its place.

    Multi-head attention over the mean and the pixels, of which the mean's answer alone is kept
    (Radford 2021, CLIP's image encoder).
    """

    def __init__(self, width: int, pixels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.place = nn.Parameter(torch.randn(1 + pixels, width) / width**0.5)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C]."""
        pixels = x.flatten(2).transpose(1, 2)
        tokens = torch.cat([pixels.mean(1, keepdim=True), pixels], dim=1) + self.place
        query, key, value = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(tokens[:, :1]), *self.key_value(tokens).chunk(2, dim=2))
        )
        return attend(query, key, value).flatten(1)


class Mean(nn.Module):
    """The mean over all pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> [B, C]."""
        return x.mean((2, 3))
