"""Networks: (x [B, C, H, W], label [B], classes [B] or None) -> [B, C or 2 C, H, W].

Each is given under its own name: `from ddpm_cli.networks import unet`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from torch import nn


def __getattr__(name: str) -> "Callable[..., nn.Module]":
    return catalog.exported("network", name)


def __dir__() -> list[str]:
    return catalog.attributes("network")
