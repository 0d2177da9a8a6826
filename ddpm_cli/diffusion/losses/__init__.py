"""Training objectives: (denoise, x0 [B, ...], t [B], rng) -> loss of each image [B].

Each is given under its own name: `from ddpm_cli.diffusion.losses import simple`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from torch import Tensor


def __getattr__(name: str) -> "Callable[..., Tensor]":
    return catalog.exported("loss", name)


def __dir__() -> list[str]:
    return catalog.attributes("loss")
