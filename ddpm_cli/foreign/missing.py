"""Say of a path where nothing is what may have been meant: a name beside it, or an address."""

import shlex
from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from ddpm_cli.errors import Refusal
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.telling import Role

_LISTED = 10_000  # names of a folder that are compared
NO_FILE = "No such file or directory"


def neighbour(path: Path) -> Path | None:
    """The path with the nearest names that there are in place of those that there are not."""
    place = Path(path.anchor)
    try:
        for part in path.parts[bool(path.anchor) :]:
            name = part if (place / part).exists() else _nearest(part, place)
            if name is None:
                return None
            place /= name
    except (OSError, ValueError):
        return None
    return place if place != path else None


def _nearest(part: str, folder: Path) -> str | None:
    names = {name.lower(): name for name in islice(_names(folder), _LISTED)}
    close = get_close_matches(part.lower(), names, n=1)
    return names[close[0]] if close else None


def _names(folder: Path) -> Iterator[str]:
    """The names in a folder, without the hidden ones; none if it is a file."""
    entries = folder.iterdir() if folder.is_dir() else iter(())
    return (entry.name for entry in entries if not entry.name.startswith("."))


def refusal(path: Path, role: Role, what: str = NO_FILE, fix: str = "") -> Refusal:
    """The refusal of a path where nothing is; fix: what to do if no name is near it."""
    if told := telling.address(path, role):
        return told.refusal(path)
    near = neighbour(path)
    hints = [f"did you mean {shlex.quote(str(near))}?" if near else fix, on_hub(path, role)]
    return Refusal(f"{path}: {what}", *filter(None, hints))


def on_hub(path: Path, role: Role) -> str:
    """What to do if a name like google/ddpm-cat-256 was meant; empty where a folder was."""
    if len(path.parts) != 2 or Path(path.parts[0]).exists():
        return ""
    return telling.repository(path, role)
