"""Inputs and weights that make every part of a network count."""

import torch
from torch import Tensor, nn


def lively(module: nn.Module) -> nn.Module:
    """Fill the layers that start at 0, without which most of a network has no effect."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return module.eval()


def images(count: int, channels: int, size: int) -> Tensor:
    """Unit-normal square images, the same at every call."""
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(size))
