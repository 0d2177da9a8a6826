"""How noise levels meet data of any shape: the one place of broadcasting, bounds and type."""

import torch
from torch import Tensor


def column(level: Tensor | float, like: Tensor) -> Tensor:
    """Return `level` (a number or [B]) in the dtype and device of `like`, shaped [B, 1, ...].

    A single level stays a 0-dimensional tensor, which broadcasts by itself.
    """
    level = torch.as_tensor(level, device=like.device, dtype=like.dtype)
    return level if level.ndim == 0 else level.reshape(-1, *[1] * (like.ndim - 1))


def within(t: Tensor, low: float, high: float) -> Tensor:
    """Clamp to [low, high] and keep the slope, at the ends and beyond, where there is one.

    `rate` needs the slope of times, and guidance through a clamped image a way to its pixels.
    """
    if not t.requires_grad:
        return t.clamp(low, high)
    return t + (t.clamp(low, high) - t).detach()


def double(value: Tensor) -> Tensor:
    """Times and levels as schedules compute with them: float64 on the CPU, slopes kept."""
    return torch.as_tensor(value, dtype=torch.float64, device="cpu")
