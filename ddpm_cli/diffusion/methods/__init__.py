"""Methods: how a walk is made one to images of which something is known, y = A x + noise.

A component is called with what is known, and says what is to change of a walk.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.diffusion.measuring import Method


def __getattr__(name: str) -> "Callable[..., Method]":
    return catalog.exported("method", name)


def __dir__() -> list[str]:
    return catalog.attributes("method")
