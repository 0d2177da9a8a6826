"""Pictures of noise, and operators that take a part of them away."""

import torch
from torch import Tensor

from ddpm_cli.data import operators

SHAPE = (3, 16, 12)

OPERATORS = {
    "half": operators.upscale(SHAPE),
    "a third of the sides, rounded": operators.upscale(SHAPE, factor=3.0),
    "half by area": operators.upscale(SHAPE, filter="area"),
    "uneven area": operators.upscale(SHAPE, factor=1.5, filter="area"),
    "grey": operators.colorize(SHAPE),
    "blurred": operators.deblur(SHAPE),
}


def pictures(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64) * 2 - 1
