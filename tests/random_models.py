"""Checkpoints of tiny networks with random weights, for what needs no training."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.models import build
from ddpm_cli.settings.config import Layer, resolve

MLP = {"name": "mlp", "width": 8, "depth": 1}
UNET = {"name": "unet", "width": 8, "multipliers": [1], "blocks": 1, "attention": [8]}


def saved(
    path: Path,
    network: dict[str, Any],
    *,
    shape: tuple[int, ...] = (1, 8, 8),
    classes: tuple[str, ...] | None = None,
    source: dict[str, Any] | None = None,
    known: Quantities | None = None,
    **tables: Any,
) -> Path:
    """A model at `path` whose layers, those that start as nothing too, are random.

    known: the numbers that it is told, with a table `values`.
    """
    data = {"name": "mnist"} if len(shape) == 3 else {"name": "two-points"}
    levels, train = {"name": "karras", "count": 5}, {"drop_class": 0.1}
    config = resolve(
        [
            Layer(
                "the test",
                {"network": network, "data": data, "levels": levels, "train": train, **tables},
            )
        ]
    )
    info = DataInfo(shape, classes, values=known)
    if len(shape) != 3:
        info = info._replace(mean=(1.0,) * shape[0], std=(2.0,) * shape[0])
    torch.manual_seed(0)
    made = build.network(config, info)
    for weight in made.parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.05)
    weights = build.trained(config, made).weights()
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, weights, Header("model", config, info, 7, source=source))
    return path
