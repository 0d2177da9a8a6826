"""What `[data] name` says of data that no file holds."""

from typing import Literal

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.errors import Refusal
from ddpm_cli.settings.knobs import Index


def python(split: Literal["train", "test"], *, rows: Index = 0, digest: str = "") -> ImageSet:
    """Data that a program gave to ddpm_cli.train, which no command can read again.

    rows, digest: how many they were, and the start of their SHA-256.
    """
    why = f"{rows} rows were given to ddpm_cli.train in Python, and are in no file"
    raise Refusal(f"data.python: {why}", "Name others of their kind: --set data.name=folder.")
