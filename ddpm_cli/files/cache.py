"""The folder for what can be fetched or computed again."""

import os
from pathlib import Path

from ddpm_cli.errors import Refusal


def folder() -> Path:
    """$XDG_CACHE_HOME/ddpm, by default ~/.cache/ddpm."""
    place = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(place).expanduser() / "ddpm"
    except RuntimeError as error:
        raise Refusal(f"{place}: {error}; write the path in full") from error
