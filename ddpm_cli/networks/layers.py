"""Building blocks of the networks, laid out for channels-last memory and 16-bit matrix units."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(label: Tensor, width: int, period: float = 10000.0) -> Tensor:
    """Sinusoidal features [B, width] of labels [B], in float32 or wider (Vaswani 2017)."""
    half = width // 2
    ladder = torch.arange(half, dtype=label.dtype, device=label.device) / half
    angles = label[:, None] * torch.exp(-math.log(period) * ladder)
    features = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.pad(features, (0, width - 2 * half))


class GroupNorm(nn.GroupNorm):
    """Group normalization that is fast on channels-last tensors.

    PyTorch's CPU kernel is about 30 times slower on channels-last bfloat16 than on contiguous
    memory, so such tensors pass through contiguous memory and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        if x.device.type != "cpu" or x.is_contiguous():
            return super().forward(x)
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


class PixelNorm(nn.LayerNorm):
    """Layer normalization over the channels of each pixel: the cheapest norm for channels-last."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x [B, C, H, W]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def normalization(kind: str, channels: int, groups: int) -> nn.Module:
    """The norm layer `kind` ("group" or "pixel"); groups shrink to a divisor of the channels.

    With fewer channels than groups they are of four channels each: a group of a single channel
    would remove the noise level that is added to it.
    """
    if kind == "pixel":
        return PixelNorm(channels, eps=1e-5)
    if groups > channels:
        groups = max(1, channels // 4)
    return GroupNorm(math.gcd(groups, channels), channels, eps=1e-5)


def zero(module: nn.Module) -> nn.Module:
    """Set all parameters to 0, so that a residual branch starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour upsampling to the size of the skip it will meet (odd sizes too)."""
    return F.interpolate(x, size=size, mode="nearest")


def dense(x: Tensor) -> Tensor:
    """The same [B, C, H, W] in contiguous channels-last memory."""
    return x.contiguous(memory_format=torch.channels_last)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding between them (Ho 2020; Dhariwal 2021).

    scale_shift: adaptive norm, (1 + scale) * norm(h) + shift, instead of an added embedding.
    resample: "down" or "up" halves or doubles the image inside the block (BigGAN).
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        embedding: int,
        *,
        dropout: float,
        scale_shift: bool,
        norm: str,
        groups: int,
        resample: str = "",
    ) -> None:
        super().__init__()
        self.scale_shift = scale_shift
        self.resample = resample
        self.norm1 = normalization(norm, width_in, groups)
        self.conv1 = nn.Conv2d(width_in, width, 3, padding=1)
        self.embed = nn.Linear(embedding, 2 * width if scale_shift else width)
        self.norm2 = normalization(norm, width, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(nn.Conv2d(width, width, 3, padding=1))
        self.skip = nn.Conv2d(width_in, width, 1) if width != width_in else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, size: tuple[int, int] | None = None) -> Tensor:
        """x [B, C, H, W], embedding [B, E] already activated -> [B, width, H', W']."""
        h = F.silu(self.norm1(x))
        if self.resample == "down":
            h, x = halve(h), halve(x)
        elif self.resample == "up" and size is not None:
            h, x = resize(h, size), resize(x, size)
        h = self.conv1(h)
        shift = self.embed(embedding)[:, :, None, None].to(h.dtype)
        if self.scale_shift:
            scale, shift = shift.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        else:
            h = self.norm2(h + shift)
        out: Tensor = self.skip(x) + self.conv2(self.dropout(F.silu(h)))
        return out


def halve(x: Tensor) -> Tensor:
    """Mean over 2x2 pixels; an odd last row or column is averaged alone."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


class Attention(nn.Module):
    """Self-attention over all pixels with a residual connection (Ho 2020, appendix B)."""

    def __init__(self, width: int, *, heads: int, norm: str, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = normalization(norm, width, groups)
        self.qkv = nn.Linear(width, 3 * width)
        self.project = zero(nn.Linear(width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        batch, width, high, wide = x.shape
        tokens = self.norm(x).permute(0, 2, 3, 1).reshape(batch, high * wide, width)
        query, key, value = (
            part.reshape(batch, high * wide, self.heads, -1).transpose(1, 2)
            for part in self.qkv(tokens).chunk(3, dim=-1)
        )
        mixed = attend(query, key, value).transpose(1, 2).reshape(batch, high * wide, width)
        out: Tensor = self.project(mixed)
        residual = out.reshape(batch, high, wide, width).permute(0, 3, 1, 2)
        return x + residual


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for [B, heads, N, d].

    The fused CPU kernel's backward pass is several times slower than plain matrix products at
    small sizes, so it serves only where no gradient is needed.
    """
    if query.device.type != "cpu" or not torch.is_grad_enabled() or query.shape[2] > 1024:
        return F.scaled_dot_product_attention(query, key, value)
    weight = (query * float(query.shape[-1]) ** -0.5) @ key.transpose(-2, -1)
    out: Tensor = weight.softmax(dim=-1) @ value
    return out
