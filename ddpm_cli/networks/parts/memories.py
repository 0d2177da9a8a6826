"""Attention that also looks at learned tokens, of cost quadratic or linear in the pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.attention import attend


class ChannelNorm(nn.Module):
    """The channels of each pixel at unit root mean square, times gains (Zhang 2019)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        out: Tensor = F.normalize(x, dim=1) * (self.gain * float(len(self.gain)) ** 0.5)
        return out


def linear_attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax_d(q) / sqrt(d) (softmax_N(k)^T v) for [B, heads, N, d]: linear in N (Shen 2021).

    Two softmaxes, of queries over their channels and of keys over the tokens, take the place of
    one over products of the two.
    """
    query = query.softmax(dim=-1) * float(query.shape[-1]) ** -0.5
    context = key.softmax(dim=-2).transpose(-2, -1) @ value
    out: Tensor = query @ context
    return out


class MemoryAttention(nn.Module):
    """Attention over all pixels and over `memory` learned keys and values, with a residual.

    linear: by `linear_attend`, whose output is normalized too, not by one softmax.
    """

    def __init__(
        self, width: int, *, heads: int, head_width: int, memory: int, linear: bool
    ) -> None:
        super().__init__()
        self.heads, self.linear = heads, linear
        inner = heads * head_width
        self.norm = ChannelNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.memory = _memory(heads, memory, head_width) if memory else None
        self.project = nn.Linear(inner, width)
        self.settle = ChannelNorm(width) if linear else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        batch, _, high, wide = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(batch, high * wide, -1)
        query, key, value = (
            part.reshape(batch, high * wide, self.heads, -1).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        if self.memory is not None:
            more = self.memory.to(key.dtype)[:, None].expand(-1, batch, -1, -1, -1)
            key, value = torch.cat([more[0], key], 2), torch.cat([more[1], value], 2)
        mix = linear_attend if self.linear else attend
        mixed = mix(query, key, value).transpose(1, 2).reshape(batch, high * wide, -1)
        out: Tensor = self.project(mixed).reshape(batch, high, wide, -1).permute(0, 3, 1, 2)
        settled: Tensor = self.settle(out)
        return x + settled


def _memory(heads: int, count: int, width: int) -> nn.Parameter:
    """Keys and values [2, heads, count, width], normal but on device "meta"."""
    tokens = torch.empty(2, heads, count, width)
    return nn.Parameter(tokens if tokens.is_meta else nn.init.normal_(tokens))
