"""Rows of features that every machine makes alike, from sines alone: no generator's stream."""

import torch
from torch import Tensor

from ddpm_cli.evaluation.evidence import Evidence


def rows(count: int, width: int, phase: float) -> Tensor:
    """Nearly uniform numbers [count, width] in [-1, 1], in float64."""
    places = torch.arange(count * width, dtype=torch.float64).reshape(count, width)
    return ((places + phase).sin() * 43758.5453).frac()


def two_sets() -> tuple[Tensor, Tensor]:
    """300 rows and 260 of 8 correlated features, which overlap in part."""
    x, y = rows(300, 8, 0.5), rows(260, 8, 0.25)
    return x + 0.3 * x.roll(1, 1), 1.1 * y + 0.2 * y.roll(1, 1) + 0.1


def probabilities() -> Tensor:
    """What a network might say of 300 images: [300, 10]."""
    return (3 * rows(300, 10, 0.75)).softmax(1)


def side(features: Tensor, name: str = "side") -> Evidence:
    """A side that has features alone."""
    return Evidence(name, len(features), features=features)


def normals(count: int, width: int, seed: int) -> Tensor:
    """Unit normals [count, width] in float64, for tests of expectations."""
    return torch.randn(
        count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )
