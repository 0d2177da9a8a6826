"""Critics: (two states [B, 2 C, ...], label [B], classes [B] or None) -> logits [B].

The first half of the channels is the state one index below the second. Each is given under its
own name: `from ddpm_cli.networks.critics import residual`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from torch import nn


def __getattr__(name: str) -> "Callable[..., nn.Module]":
    return catalog.exported("critic", name)


def __dir__() -> list[str]:
    return catalog.attributes("critic")
