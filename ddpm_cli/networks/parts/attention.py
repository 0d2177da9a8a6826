"""Attention over all pixels, or moments of signals, and what is told of them: fast kernels."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from ddpm_cli.networks.conditions import NOTHING, Seen
from ddpm_cli.networks.parts.layers import normalization, zero

_dual: Callable[[Tensor], forward_ad.UnpackedDualTensor] = forward_ad.unpack_dual


class Attention(nn.Module):
    """Self-attention over all pixels with a residual connection (Ho 2020, appendix B).

    The rows of `qkv` are queries, keys and values one behind the other, each head by head
    (parts), or those of each head behind one another (heads), as in Nichol 2021's code.
    tokens: how wide what is told is, if pixels see it, too: `cross` beside one another, keys and
    values of both in one softmax (Nichol 2022, GLIDE), or behind, by a layer of its own.
    """

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        norm: str,
        groups: int,
        epsilon: float = 1e-5,
        group_width: int = 1,
        rescale: bool = False,
        qkv: str = "parts",
        tokens: int = 0,
        cross: str = "beside",
    ) -> None:
        super().__init__()
        self.heads, self.rescale, self.by_head = heads, rescale, qkv == "heads"
        self.norm = normalization(norm, width, groups, epsilon, group_width)
        self.qkv = nn.Linear(width, 3 * width)
        self.tell = nn.Linear(tokens, 2 * width) if tokens and cross == "beside" else None
        self.project = zero(nn.Linear(width, width))
        self.behind = None
        if tokens and cross == "behind":
            own = normalization(norm, width, groups, epsilon, group_width)
            self.behind = Behind(own, CrossAttention(width, tokens, heads=heads))

    def forward(self, x: Tensor, seen: Seen = NOTHING) -> Tensor:
        """x [B, C, ...], what is told -> the same shape as x."""
        query, key, value = _heads(self.qkv(_row(self.norm(x))), 3, self.heads, self.by_head)
        mask = None
        if self.tell is not None and seen.tokens is not None and seen.present is not None:
            more = _heads(self.tell(seen.tokens), 2, self.heads, self.by_head)
            key, value = torch.cat([more[0], key], 2), torch.cat([more[1], value], 2)
            mask = F.pad(seen.present, (0, query.shape[2]), value=True)[:, None, None]
        mixed = attend(query, key, value, seen=mask)
        x = x + _laid_out(self.project(_joined(mixed)), x)
        x = x * 0.5**0.5 if self.rescale else x
        return x if self.behind is None else self.behind(x, seen)


class CrossAttention(nn.Module):
    """Tokens [B, N, D] that see what is told, which at first adds nothing to them."""

    def __init__(self, width: int, tokens: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.tell = nn.Linear(tokens, 2 * width)
        self.project = zero(nn.Linear(width, width))

    def forward(self, h: Tensor, told: Tensor, present: Tensor) -> Tensor:
        """h [B, N, D], told [B, L, E], which of these are there [B, L] -> [B, N, D]."""
        (query,) = _heads(self.query(h), 1, self.heads)
        key, value = _heads(self.tell(told), 2, self.heads)
        mixed = attend(query, key, value, seen=present[:, None, None])
        out: Tensor = self.project(_joined(mixed))
        return out


class Behind(nn.Module):
    """Cross-attention of pixels with a residual connection (Rombach 2022; Saharia 2022)."""

    def __init__(self, norm: nn.Module, cross: CrossAttention) -> None:
        super().__init__()
        self.norm, self.cross = norm, cross

    def forward(self, x: Tensor, seen: Seen) -> Tensor:
        """x [B, C, ...], what is told -> the same shape as x."""
        if seen.tokens is None or seen.present is None:
            return x
        return x + _laid_out(self.cross(_row(self.norm(x)), seen.tokens, seen.present), x)


def _row(x: Tensor) -> Tensor:
    """Pixels [B, C, ...] one behind the other: [B, N, C]."""
    return x.flatten(2).transpose(1, 2)


def _laid_out(tokens: Tensor, like: Tensor) -> Tensor:
    """Pixels [B, N, C] where those of an image [B, C, ...] lie."""
    return tokens.transpose(1, 2).reshape(like.shape)


def _heads(rows: Tensor, count: int, heads: int, by_head: bool = False) -> tuple[Tensor, ...]:
    """Rows [B, N, count D] as `count` pieces [B, heads, N, D / heads]; by_head: of each head."""
    batch, tokens, _ = rows.shape
    if by_head:
        rows = rows.reshape(batch, tokens, heads, -1)
    pieces = rows.chunk(count, dim=-1)
    return tuple(piece.reshape(batch, tokens, heads, -1).transpose(1, 2) for piece in pieces)


def _joined(mixed: Tensor) -> Tensor:
    """All heads [B, heads, N, d] beside one another: [B, N, heads d]."""
    return mixed.transpose(1, 2).flatten(2)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    scale: float | None = None,
    seen: Tensor | None = None,
) -> Tensor:
    """softmax(scale q k^T) v for [B, heads, N, d]; scale: 1 / sqrt(d) if it is None.

    seen: which keys each query sees, true or false and at least one, of the shape of q k^T or one
    that is repeated.  No fused kernel has a forward derivative, which `torch.func.jvp` asks for.
    """
    narrow = query.dtype.itemsize == 2 and query.shape[3] <= 8
    plain = by_products(query.device.type, query.shape[2], torch.is_grad_enabled(), narrow)
    if not plain and _dual(query).tangent is None:
        return F.scaled_dot_product_attention(query, key, value, seen, scale=scale)
    if scale != 1:
        query = query * (float(query.shape[-1]) ** -0.5 if scale is None else scale)
    weight = query @ key.transpose(-2, -1)
    if seen is not None:
        weight = weight.masked_fill(~seen, -math.inf)
    out: Tensor = weight.softmax(dim=-1) @ value
    return out


def by_products(device: str, tokens: int, learning: bool, narrow: bool = False) -> bool:
    """Whether attention is made of plain matrix products, not of one fused kernel.

    The fused CPU kernel's backward pass is several times slower at small sizes, and a quarter its
    forward pass where heads are narrow and of 16 bits; it serves where no gradient is needed.  On
    CUDA the fused kernels are made for hundreds of tokens.
    """
    if device == "cpu":
        return (learning or narrow) and tokens <= 1024
    return device == "cuda" and tokens < 256
