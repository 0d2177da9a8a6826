"""Attention over all pixels, or moments of signals, by the kernel that is fastest there."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad

from ddpm_cli.networks.parts.layers import normalization, zero

_dual: Callable[[Tensor], forward_ad.UnpackedDualTensor] = forward_ad.unpack_dual


class Attention(nn.Module):
    """Self-attention over all pixels with a residual connection (Ho 2020, appendix B).

    The rows of `qkv` are queries, keys and values one behind the other, each head by head
    (parts), or those of each head behind one another (heads), as in Nichol 2021's code.
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
    ) -> None:
        super().__init__()
        self.heads, self.rescale, self.by_head = heads, rescale, qkv == "heads"
        self.norm = normalization(norm, width, groups, epsilon, group_width)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = zero(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] or [B, C, L] -> the same shape."""
        batch, width, *size = x.shape
        tokens = self.norm(x).movedim(1, -1).reshape(batch, -1, width)
        rows = self.qkv(tokens)
        parts = (
            rows.reshape(batch, tokens.shape[1], self.heads, -1).chunk(3, dim=-1)
            if self.by_head
            else rows.chunk(3, dim=-1)
        )
        query, key, value = (
            part.reshape(batch, tokens.shape[1], self.heads, -1).transpose(1, 2) for part in parts
        )
        mixed = attend(query, key, value).transpose(1, 2).reshape(tokens.shape)
        out: Tensor = self.project(mixed)
        x = x + out.reshape(batch, *size, width).movedim(-1, 1)
        return x * 0.5**0.5 if self.rescale else x


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
