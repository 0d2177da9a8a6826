"""Guiders: how a prediction and what it is guided away from become one.

Each is given under its own name: `from ddpm_cli.diffusion.guiders import apg, cfg`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.diffusion.denoiser import Prediction


def __getattr__(name: str) -> "Callable[..., Prediction]":
    return catalog.exported("guidance", name)


def __dir__() -> list[str]:
    return catalog.attributes("guidance")
