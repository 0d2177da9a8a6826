"""Features of the noise label."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(
    label: Tensor, width: int, period: float = 10000.0, *, endpoint: bool = False
) -> Tensor:
    """Sinusoidal features [B, width] of labels [B], in float32 or wider (Vaswani 2017).

    The frequencies are period^(-i / half) as in ADM, or period^(-i / (half - 1)), which ends at
    1 / period, as in DDPM, DDPM++ and EDM (`endpoint`).
    """
    if not label.is_floating_point():
        label = label.float()
    half = width // 2
    ladder = torch.arange(half, dtype=label.dtype, device=label.device)
    ladder = ladder / max(half - endpoint, 1)
    angles = label[:, None] * torch.exp(-math.log(period) * ladder)
    features = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.pad(features, (0, width - 2 * half))


def harmonics(x: Tensor, frequencies: int) -> Tensor:
    """x [B, D] and sin, cos of 2^k x for k < frequencies: [B, D (1 + 2 frequencies)]."""
    if not frequencies:
        return x
    angles = torch.cat([x * 2**k for k in range(frequencies)], dim=1)
    return torch.cat([x, angles.sin(), angles.cos()], dim=1)


def as_exact(label: Tensor, weight: Tensor) -> Tensor:
    """Labels as floating-point numbers: float32 or wider, and no narrower than the weights."""
    dtype = torch.promote_types(torch.float32, weight.dtype)
    if label.is_floating_point():
        dtype = torch.promote_types(dtype, label.dtype)
    return label.to(dtype)


def exactly(module: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
    """nn.Module._apply of a module whose buffer `frequencies` keeps its number format.

    A 16-bit frequency would turn the highest angles by half a radian.
    """
    exact = module.get_buffer("frequencies")
    nn.Module._apply(module, fn, recurse)  # type: ignore[no-untyped-call]
    module.frequencies = exact.to(module.get_buffer("frequencies").device)
    return module


class Fourier(nn.Module):
    """Random Fourier features of the label: cosines, then sines, of 2 pi f label.

    The frequencies f are normal with standard deviation `scale`, drawn once and kept in the
    checkpoint (Tancik 2020; Song 2021, appendix H.1).
    """

    frequencies: Tensor
    _apply = exactly

    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        # Not torch's global generator: the same frequencies whatever was drawn before.
        drawn = torch.randn(
            width // 2, generator=torch.Generator("cpu").manual_seed(0), device="cpu"
        )
        self.register_buffer("frequencies", (drawn * scale).to(torch.get_default_device()))

    def forward(self, label: Tensor) -> Tensor:
        """Labels [B] -> [B, width]."""
        angles = label[:, None] * (2 * math.pi * self.frequencies.to(label.dtype))
        return torch.cat([angles.cos(), angles.sin()], dim=1)
