"""How noise levels meet data of any shape: the one place of broadcasting, bounds and place."""

import torch
from torch import Tensor, nn


def column(level: Tensor | float, like: Tensor) -> Tensor:
    """Return `level` (a number or [B]) in the dtype of `like`, to be multiplied with it.

    A single level stays a 0-dimensional tensor on the host, which every arithmetic kernel of a
    device takes as a number: nothing is copied.  Levels [B] go to the device, as [B, 1, ...].
    """
    level = torch.as_tensor(level, dtype=like.dtype)
    if level.ndim == 0:
        return level
    return sent(level, like.device).reshape(-1, *[1] * (like.ndim - 1))


def rows(level: Tensor, like: Tensor) -> Tensor:
    """Return `level` ([] or [B]) as one number a row [B] of `like`, on its device."""
    if level.ndim == 0 and not level.requires_grad:
        return torch.full((len(like),), level.item(), dtype=level.dtype, device=like.device)
    return sent(level.expand(len(like)), like.device)


def told(label: Tensor, like: Tensor, network: nn.Module) -> Tensor:
    """A label ([] or [B]) as one number a row of `like` for a network.

    float64 where the network computes in it, or is a function without weights, otherwise float32,
    whatever its number format.
    """
    first = next(network.parameters(), None)
    exact = first is None or first.dtype == torch.float64
    return rows(label.to(torch.float64 if exact else torch.float32), like)


def sent(values: Tensor, device: torch.device) -> Tensor:
    """Values on a device, copied while it works on: the host does not wait for what it does.

    A copy from pageable memory would wait; pinned memory is kept until the copy is made.
    """
    if device.type == "cuda" and values.device.type == "cpu" and not values.requires_grad:
        values = values.pin_memory()
    return values.to(device, non_blocking=device.type != "mps")


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
