"""One U-Net whose knobs reach from a small MNIST model to DDPM's CIFAR-10 net and ADM."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.knobs import Count, Fraction, Index
from ddpm_cli.networks.layers import (
    Attention,
    ResBlock,
    dense,
    normalization,
    resize,
    sinusoid,
    zero,
)


class unet(nn.Module):  # noqa: N801  (a component is named as it is called in a config)
    """U-Net of residual blocks with concatenated skips, attention by resolution, patch stem.

    channels, size: of the images.  Ho 2020, appendix B; class conditions, adaptive norm,
    resampling blocks and heads of fixed width: Dhariwal 2021; learned variance: Nichol 2021.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        width: Count = 64,
        multipliers: list[int] = [1, 2],  # noqa: B006  (read, never changed)
        blocks: Count = 2,
        attention: list[int] = [7],  # noqa: B006
        heads: Index = 1,
        head_width: Index = 0,
        dropout: Fraction = 0.0,
        classes: Index = 0,
        patch: Count = 1,
        scale_shift: bool = False,
        resample_blocks: bool = False,
        norm: Literal["group", "pixel"] = "group",
        groups: Count = 32,
        learned_variance: bool = False,
    ) -> None:
        super().__init__()
        self.patch, self.classes, self.width = patch, classes, width
        outputs = 2 * channels if learned_variance else channels
        embedding = 4 * width
        self.embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        # The last row is the null class: what label dropout and guidance use.
        self.class_embed = nn.Embedding(classes + 1, embedding) if classes else None

        def block(width_in: int, width_out: int, resample: str = "") -> ResBlock:
            return ResBlock(
                width_in,
                width_out,
                embedding,
                dropout=dropout,
                scale_shift=scale_shift,
                norm=norm,
                groups=groups,
                resample=resample,
            )

        def attend(width_at: int) -> Attention:
            count = max(1, width_at // head_width) if head_width else heads
            return Attention(width_at, heads=count, norm=norm, groups=groups)

        # Resolution at each level, for the choice of attention.
        at = [math.ceil(size[0] / (patch * 2**level)) for level in range(len(multipliers))]

        top = len(multipliers) - 1
        self.stem = nn.Conv2d(channels * patch**2, width, 3, padding=1)
        self.down, skips, now = nn.ModuleList(), [width], width
        for level, multiplier in enumerate(multipliers):
            for _ in range(blocks):
                parts: list[nn.Module] = [block(now, width * multiplier)]
                now = width * multiplier
                if at[level] in attention:
                    parts.append(attend(now))
                self.down.append(Stage(parts))
                skips.append(now)
            if level < top:
                self.down.append(
                    Stage([block(now, now, "down") if resample_blocks else Downsample(now)])
                )
                skips.append(now)
        self.middle = Stage([block(now, now), attend(now), block(now, now)])
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(multipliers))):
            for number in range(blocks + 1):
                parts = [block(now + skips.pop(), width * multiplier)]
                now = width * multiplier
                if at[level] in attention:
                    parts.append(attend(now))
                if level and number == blocks:
                    parts.append(block(now, now, "up") if resample_blocks else Upsample(now))
                self.up.append(Stage(parts))
        self.head = nn.Sequential(normalization(norm, now, groups), nn.SiLU())
        self.out = zero(nn.Conv2d(now, outputs * patch**2, 3, padding=1))

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        """x [B, C, H, W], noise label [B], classes [B] (None: null class) -> [B, out, H, W]."""
        dtype = self.stem.weight.dtype
        embedding = self.embed(sinusoid(label, self.width).to(dtype))
        if self.class_embed is not None:
            if classes is None:
                classes = torch.full((len(x),), self.classes, device=x.device)
            embedding = embedding + self.class_embed(classes)
        embedding = F.silu(embedding)
        height, width = x.shape[-2:]
        h = self.stem(dense(_fold(x.to(dtype), self.patch)))
        skips = [h]
        for stage in self.down:
            h = stage(h, embedding)
            skips.append(h)
        h = self.middle(h, embedding)
        for stage in self.up:
            skip = skips.pop()
            size = skips[-1].shape[-2:] if skips else None
            h = stage(torch.cat([h, skip], dim=1), embedding, size)
        h = self.out(self.head(h))
        return _unfold(h, self.patch)[..., :height, :width]


class Stage(nn.Module):
    """Blocks, attention and resampling in a row, each given what it asks for."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor, embedding: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """Run x [B, C, H, W] through the parts; `size` is what an upsampling part must reach."""
        for part in self.parts:
            if isinstance(part, ResBlock):
                x = part(x, embedding, size)
            elif isinstance(part, Upsample):
                x = part(x, size)
            else:
                x = part(x)
        return x


class Downsample(nn.Module):
    """Strided 3x3 convolution: half the size, rounded up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / 2), ceil(W / 2)]."""
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Nearest-neighbour upsampling to a given size and a 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """[B, C, H, W] -> [B, C, *size]."""
        out: Tensor = self.conv(resize(x, size))
        return out


def _fold(x: Tensor, patch: int) -> Tensor:
    """Space to depth: [B, C, H, W] -> [B, C patch^2, H / patch, W / patch], edges repeated."""
    if patch == 1:
        return x
    height, width = x.shape[-2:]
    missing = (-width % patch, -height % patch)
    if any(missing):
        x = F.pad(x, (0, missing[0], 0, missing[1]), mode="replicate")
    return F.pixel_unshuffle(x, patch)


def _unfold(x: Tensor, patch: int) -> Tensor:
    """Depth to space, the inverse of `_fold`."""
    return x if patch == 1 else F.pixel_shuffle(x, patch)
