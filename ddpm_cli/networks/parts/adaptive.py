"""Parts of a U-Net all of whose norms follow the conditions (AdaGN, Dhariwal 2021)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.attention import attend
from ddpm_cli.networks.parts.layers import divided, zero

EPSILON = 1e-5


class AdaptiveNorm(nn.Module):
    """(1 + scale) * norm(x) + shift, over groups of `group` channels."""

    def __init__(self, width: int, told: int, group: int) -> None:
        super().__init__()
        self.groups = divided(width, max(1, width // group), "network.group_width")
        self.embed = zero(nn.Linear(told, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, C, H, W], condition [B, M] -> the same shape as x."""
        scale, shift = self.embed(condition)[:, :, None, None].to(x.dtype).chunk(2, dim=1)
        return torch.addcmul(shift, F.group_norm(x, self.groups, eps=EPSILON), 1 + scale)


class AdaptiveResBlock(nn.Module):
    """Two convolutions behind adaptive norms, added to what enters them."""

    def __init__(
        self, width_in: int, hidden: int, width: int, told: int, *, group: int, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = AdaptiveNorm(width_in, told, group)
        self.conv1 = nn.Conv2d(width_in, hidden, 3, padding=1)
        self.norm2 = AdaptiveNorm(hidden, told, group)
        self.dropout = nn.Dropout2d(dropout)
        self.conv2 = nn.Conv2d(hidden, width, 3, padding=1)
        straight = width == width_in
        self.skip = nn.Identity() if straight else nn.Conv2d(width_in, width, 1, bias=False)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, C, H, W], condition [B, M] -> [B, width, H, W]."""
        h = self.dropout(self.conv1(F.gelu(self.norm1(x, condition))))
        h = self.conv2(F.gelu(self.norm2(h, condition)))
        out: Tensor = self.skip(x) + self.dropout(h)
        return out


class AdaptiveAttention(nn.Module):
    """Self-attention over all pixels behind an adaptive norm, added to what enters it."""

    def __init__(self, width: int, told: int, *, head: int, group: int, dropout: float) -> None:
        super().__init__()
        self.heads = divided(width, max(1, width // head), "network.head_width")
        self.norm = AdaptiveNorm(width, told, group)
        self.qkv = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, C, H, W], condition [B, M] -> the same shape as x."""
        batch, width, high, wide = x.shape
        tokens = self.norm(x, condition).permute(0, 2, 3, 1).reshape(batch, high * wide, width)
        parts = self.qkv(tokens).reshape(batch, high * wide, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = attend(query, key, value).transpose(1, 2).reshape(batch, high * wide, width)
        out: Tensor = self.project(self.dropout(mixed)).reshape(batch, high, wide, width)
        return x + out.permute(0, 3, 1, 2)


class AdaptiveStage(nn.Module):
    """Blocks, each perhaps with attention behind it, at one resolution."""

    def __init__(self, parts: list[AdaptiveResBlock | AdaptiveAttention]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x [B, C, H, W], condition [B, M] -> [B, width, H, W]."""
        for part in self.parts:
            x = part(x, condition)
        return x
