"""The feature networks that `--features` can choose: a function each, by the catalog.

A component takes the device and gives an `Extractor`.
"""

from collections.abc import Callable
from typing import Any

from ddpm_cli.settings import catalog


def __getattr__(name: str) -> Callable[..., Any]:
    return catalog.exported("features", name)


def __dir__() -> list[str]:
    return catalog.attributes("features")
