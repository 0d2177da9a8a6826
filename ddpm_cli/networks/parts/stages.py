"""The parts that the U-Nets and the classifier, which is half of one, are made of.

Shapes are those of images [B, C, H, W]; signals [B, C, L] have one axis less.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.conditions import NOTHING, Seen
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.grids import PLANE, Grid
from ddpm_cli.networks.parts.layers import ResBlock, divided
from ddpm_cli.networks.parts.resampling import Downsample, Enlarge, Pyramid, Shrink, Upsample


class Parts(NamedTuple):
    """What all parts of a U-Net, or of half of one, share, and how each is made from it."""

    embedded: int
    dropout: float
    heads: int
    head_width: int
    scale_shift: bool
    resample_blocks: bool
    norm: str
    groups: int
    epsilon: float
    project_resampled: bool = False
    same_padding: bool = False
    fir: bool = False
    rescale: bool = False
    plain_resampling: bool = False
    wide_skip: bool = False
    qkv: str = "parts"
    group_width: int = 1
    nonlinearity: str = "silu"
    grid: Grid = PLANE
    tokens: int = 0
    cross: str = "beside"
    told: bool = False

    def block(self, width_in: int, width: int, resample: str = "") -> ResBlock:
        return ResBlock(
            width_in,
            width,
            self.embedded,
            dropout=self.dropout,
            scale_shift=self.scale_shift,
            norm=self.norm,
            groups=self.groups,
            epsilon=self.epsilon,
            group_width=self.group_width,
            nonlinearity=self.nonlinearity,
            resample=resample,
            project=self.project_resampled,
            fir=self.fir,
            rescale=self.rescale,
            wide_skip=self.wide_skip,
            grid=self.grid,
            told=self.told,
        )

    def heads_of(self, width: int) -> int:
        heads = max(1, width // self.head_width) if self.head_width else self.heads
        key = "network.head_width" if self.head_width else "network.heads"
        return divided(width, heads, key)

    def attend(self, width: int) -> Attention:
        return Attention(
            width,
            heads=self.heads_of(width),
            norm=self.norm,
            groups=self.groups,
            epsilon=self.epsilon,
            group_width=self.group_width,
            rescale=self.rescale,
            qkv=self.qkv,
            tokens=self.tokens,
            cross=self.cross,
        )

    def stage(self, width_in: int, width: int, attends: bool) -> "Stage":
        block = self.block(width_in, width)
        return Stage([block, self.attend(width)] if attends else [block])

    def encoder(
        self,
        width: int,
        widths: list[int],
        blocks: int,
        attends: list[bool],
        convolved: Sequence[bool] = (),
    ) -> tuple[nn.ModuleList, list[int]]:
        """Blocks of each of the widths, halvings between, from `width` channels of the stem.

        convolved: the levels that a convolution halves whatever the others do. Returns the width
        at the stem and behind every stage too.
        """
        stages, now = nn.ModuleList(), [width]
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                stages.append(self.stage(now[-1], wide, attends[level]))
                now.append(wide)
            if level < len(widths) - 1:
                halves = self.convolving() if convolved and convolved[level] else self
                stages.append(Stage([halves.down(wide)]))
                now.append(wide)
        return stages, now

    def middle(self, width: int, kind: str = "attention", groups: int = 0) -> "Stage":
        """Blocks around attention, which may lack its norm (unnormed) or be left out (blocks).

        groups: of the norm of attention, 0 for as many as elsewhere.
        """
        if kind == "none":
            return Stage([])
        if kind == "blocks":
            return Stage([self.block(width, width), self.block(width, width)])
        parts = self._replace(norm="none") if kind == "unnormed" else self
        parts = parts._replace(groups=groups) if groups else parts
        return Stage([self.block(width, width), parts.attend(width), self.block(width, width)])

    def convolving(self) -> "Parts":
        """The same with convolutions that resample, and no blocks."""
        return self._replace(resample_blocks=False)

    def down(self, width: int) -> nn.Module:
        if self.resample_blocks:
            return self.block(width, width, "down")
        if self.plain_resampling:
            return Shrink(fir=self.fir)
        return Downsample(width, width, fir=self.fir, same=self.same_padding, grid=self.grid)

    def up(self, width: int) -> nn.Module:
        if self.resample_blocks:
            return self.block(width, width, "up")
        if self.plain_resampling:
            return Enlarge(fir=self.fir)
        return Upsample(width, fir=self.fir, grid=self.grid)

    def pyramid(self, width_in: int, width: int, residual: bool) -> Pyramid:
        around = {"fir": self.fir, "rescale": self.rescale}
        return Pyramid(width_in, width, residual=residual, grid=self.grid, **around)


class Stage(nn.Module):
    """Blocks, attention and resampling in a row, each given what it asks for."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(
        self,
        x: Tensor,
        embedding: Tensor,
        size: tuple[int, ...] | None = None,
        seen: Seen = NOTHING,
    ) -> Tensor:
        """Run x [B, C, H, W] through the parts; `size` is what an upsampling part must reach.

        seen: what the network is told beside its embedding [B, E].
        """
        for part in self.parts:
            if isinstance(part, ResBlock):
                x = part(x, embedding, size, seen.vector)
            elif isinstance(part, Upsample | Enlarge):
                x = part(x, size)
            elif isinstance(part, Attention):
                x = part(x, seen)
            else:
                x = part(x)
        return x


def widths_of(width: int, multipliers: Sequence[float]) -> list[int]:
    """The width of each level: multiples of `width`, rounded."""
    return [max(1, round(width * multiplier)) for multiplier in multipliers]


def fold(x: Tensor, patch: int) -> Tensor:
    """Space to depth: [B, C, H, W] -> [B, C patch^2, H / patch, W / patch], edges repeated.

    [B, C, L] -> [B, C patch, L / patch] likewise.
    """
    if patch == 1:
        return x
    missing = [-side % patch for side in reversed(x.shape[2:])]
    if any(missing):
        x = F.pad(x, [n for more in missing for n in (0, more)], mode="replicate")
    if x.ndim == 3:
        return x.reshape(*x.shape[:2], -1, patch).transpose(2, 3).flatten(1, 2)
    return F.pixel_unshuffle(x, patch)


def unfold(x: Tensor, patch: int) -> Tensor:
    """Depth to space, the inverse of `fold`."""
    if patch == 1:
        return x
    if x.ndim == 3:
        return x.reshape(len(x), -1, patch, x.shape[2]).transpose(2, 3).flatten(2)
    return F.pixel_shuffle(x, patch)


def sides(size: int, patch: int, levels: int) -> list[int]:
    """Pixels along an axis of `size` at each level of an encoder behind a patch stem."""
    return [math.ceil(size / (patch * 2**level)) for level in range(levels)]
