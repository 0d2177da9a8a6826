"""Levels of a U-Net whose blocks normalize after each convolution, not before it."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.layers import normalization
from ddpm_cli.networks.parts.memories import ChannelNorm, MemoryAttention
from ddpm_cli.networks.parts.resampling import even, resize
from ddpm_cli.networks.parts.stages import fold


class Parts(NamedTuple):
    """What all parts of such a U-Net share, and how each is made from it."""

    embedded: int
    dropout: float
    norm: str
    groups: int
    memory: int

    def block(self, width_in: int, width: int) -> "Block":
        return Block(width_in, width, self)

    def attend(self, width: int, heads: int, head_width: int, linear: bool) -> MemoryAttention:
        return MemoryAttention(
            width, heads=heads, head_width=head_width, memory=self.memory, linear=linear
        )

    def normed(self, width: int) -> nn.Module:
        if self.norm == "rms":
            return ChannelNorm(width)
        return normalization(self.norm, width, self.groups)


class Block(nn.Module):
    """Convolution, norm, SiLU, twice; the first norm scaled and shifted by the embedding."""

    def __init__(self, width_in: int, width: int, parts: Parts) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.norm1 = parts.normed(width)
        self.embed = nn.Linear(parts.embedded, 2 * width)
        self.dropout = nn.Dropout(parts.dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = parts.normed(width)
        self.skip = nn.Identity() if width == width_in else nn.Conv2d(width_in, width, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """x [B, C, H, W], embedding [B, E] already activated -> [B, width, H, W]."""
        h = self.norm1(self.conv1(x))
        scale, shift = self.embed(embedding)[:, :, None, None].to(h.dtype).chunk(2, dim=1)
        h = self.dropout(F.silu(torch.addcmul(shift, h, 1 + scale)))
        out: Tensor = self.skip(x) + F.silu(self.norm2(self.conv2(h)))
        return out


class Halving(nn.Module):
    """Half the size, rounded up: 2x2 pixels become channels of one ("fold"), or a 4x4 filter."""

    def __init__(self, width_in: int, width: int, kind: str) -> None:
        super().__init__()
        self.folds = kind == "fold"
        self.conv = (
            nn.Conv2d(4 * width_in, width, 1)
            if self.folds
            else nn.Conv2d(width_in, width, 4, stride=2, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, ceil(H / 2), ceil(W / 2)]."""
        out: Tensor = self.conv(fold(x, 2) if self.folds else even(x))
        return out


class Descent(nn.Module):
    """A level on the way down: a block, a block and attention, and what leads to the next."""

    def __init__(self, first: Block, second: Block, attend: MemoryAttention, on: nn.Module):
        super().__init__()
        self.first, self.second, self.attend, self.on = first, second, attend, on

    def forward(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, C, H, W] -> what goes on, and the two skips of this level."""
        early = self.first(x, embedding)
        late = self.attend(self.second(early, embedding))
        return self.on(late), early, late


class Ascent(nn.Module):
    """A level on the way up: each block sees a skip; then a 3x3 convolution to the next level."""

    def __init__(self, first: Block, second: Block, attend: MemoryAttention, on: nn.Conv2d):
        super().__init__()
        self.first, self.second, self.attend, self.on = first, second, attend, on

    def forward(
        self, x: Tensor, early: Tensor, late: Tensor, embedding: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """x [B, C, H, W] and the skips of its level -> [B, C', *size]."""
        x = self.first(torch.cat([x, late], dim=1), embedding)
        x = self.attend(self.second(torch.cat([x, early], dim=1), embedding))
        out: Tensor = self.on(x if x.shape[-2:] == size else resize(x, size))
        return out
