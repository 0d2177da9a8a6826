"""The data sets that a configuration can name: (split, *, knobs) -> images or arrays.

Each is given under its own name: `from ddpm_cli.data.sets import mnist`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.data.image_set import Data


def __getattr__(name: str) -> "Callable[..., Data]":
    return catalog.exported("data", name)


def __dir__() -> list[str]:
    return catalog.attributes("data")
