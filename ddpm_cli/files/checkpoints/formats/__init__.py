"""The formats of foreign checkpoints: to add one, write a file with `tells` and `read`.

The name of a format is that of its file; the first sentence of the file says whose it is.
"""

from typing import TYPE_CHECKING, Protocol, cast

from ddpm_cli.settings import catalog

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoints.containers.content import Content
    from ddpm_cli.files.checkpoints.conversion import Ask, Conversion


class Format(Protocol):
    """A file of this folder."""

    def tells(self, content: "Content") -> bool:
        """Whether a checkpoint can be of this format, by its keys."""

    def read(self, content: "Content", ask: "Ask") -> "Conversion":
        """Bring it into our terms; what it does not say is asked for."""


def names() -> list[str]:
    """The names of all formats, sorted."""
    return catalog.modules("format")


def find(name: str) -> Format:
    """The format of a name."""
    return cast(Format, catalog.module("format", name))
