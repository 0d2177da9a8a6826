"""Samplers: steps from one noise level to the next.

Each is given under its own name: `from ddpm_cli.diffusion.samplers import ddim, heun`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from torch import Tensor


def __getattr__(name: str) -> "Callable[..., Tensor]":
    return catalog.exported("sampler", name)


def __dir__() -> list[str]:
    return catalog.attributes("sampler")
