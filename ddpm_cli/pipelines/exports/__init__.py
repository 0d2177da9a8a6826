"""What a model can be written as for other programs: one file a target, with `write`."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.settings.requests import Convert


class Export(Protocol):
    """A file of this folder."""

    def write(self, request: "Convert") -> list[Path]:
        """Write the model of a request where it says, whole or not at all; return the files."""


def names() -> list[str]:
    """The names of all targets, sorted."""
    return catalog.modules("export")


def find(name: str) -> Export:
    """The target of a name."""
    return cast(Export, catalog.module("export", name))
