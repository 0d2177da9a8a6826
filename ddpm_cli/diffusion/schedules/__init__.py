"""Noise schedules: tables of levels, continuous processes, learned ones.

Each is given under its own name: `from ddpm_cli.diffusion.schedules import cosine, Schedule`.
"""

from collections.abc import Callable

from ddpm_cli.diffusion.schedules.schedule import Schedule as Schedule
from ddpm_cli.settings import catalog


def __getattr__(name: str) -> Callable[..., Schedule]:
    return catalog.exported("schedule", name)


def __dir__() -> list[str]:
    return catalog.attributes("schedule")
