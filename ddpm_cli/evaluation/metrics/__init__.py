"""Metrics: what is said of samples beside a reference.

Each is given under its own name: `from ddpm_cli.evaluation.metrics import fid, kid`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.evaluation.measures import Measure


def __getattr__(name: str) -> "Callable[..., Measure]":
    return catalog.exported("metric", name)


def __dir__() -> list[str]:
    return catalog.attributes("metric")
