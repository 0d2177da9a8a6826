"""The laws that toys are drawn from: what a network could learn of them at best."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.files.checkpoints.data_info import DataInfo

SPIRAL = 600  # normals that stand for it: closer than a tenth of its usual noise


def pair(distance: float) -> Tensor:
    """Two centres [2, 2] on the diagonal."""
    return torch.tensor([[-distance, -distance], [distance, distance]])


def circle(radius: float) -> Tensor:
    """Eight centres [8, 2] around the origin."""
    angle = torch.arange(8) * (math.pi / 4)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def spiral(share: Tensor) -> Tensor:
    """Points [N, 2] of the spiral (a cos a, a sin a), a from 1.5 pi to 4.5 pi by their share."""
    angle = 1.5 * math.pi * (1 + 2 * share)
    return torch.stack([angle * angle.cos(), angle * angle.sin()], dim=1)


def known(data: Mapping[str, Any], info: DataInfo) -> Mixture | None:
    """The law of a toy by its table of settings, in the units of its network; None of others."""
    weights, deviation, names = torch.empty(0), 0.0, tuple[str, ...]()
    match data["name"]:
        case "two-points":
            centres, names = torch.tensor([[-0.5], [0.5]]), ("low", "high")
        case "two-gaussians":
            centres, names, deviation = pair(data["distance"]), ("low", "high"), 1.0
            weights = torch.tensor([data["weight"], 1 - data["weight"]], dtype=torch.float64)
        case "eight-gaussians":
            centres, deviation = circle(data["radius"]), data["deviation"]
        case "swiss-roll":
            centres = spiral((torch.arange(SPIRAL, dtype=torch.float64) + 0.5) / SPIRAL)
            deviation = data["noise"]
        case _:
            return None
    if not len(weights):
        weights = torch.full((len(centres),), 1 / len(centres), dtype=torch.float64)
    mean, std = (torch.tensor(each, dtype=torch.float64) for each in (info.mean, info.std))
    return Mixture(weights, (centres - mean) / std, deviation / std, names)
