"""Values of a foreign configuration: of the type and size that can be, or else refused by key."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.entries import SIDE_LIMIT

LEVELS = 64  # items of a list
LARGEST = 1e9

Table = Mapping[str, Any]


def table(config: Table, key: str, path: Path, usual: Table | None = None) -> Table:
    """A table; usual: what it is where there is none."""
    found = config.get(key, usual)
    if not isinstance(found, Mapping):
        raise wrong(key, path)
    return found


def whole(config: Table, key: str, path: Path, usual: int | None = None) -> int:
    """A whole number from 1 to what a network can have; usual: where there is none, or null."""
    found = usual if config.get(key) is None else config[key]
    if not isinstance(found, int) or isinstance(found, bool) or not 0 < found <= SIDE_LIMIT:
        raise wrong(key, path)
    return found


def number(config: Table, key: str, path: Path, usual: float | None = None) -> float:
    """A number that is finite; usual: where there is none, or null."""
    found = usual if config.get(key) is None else config[key]
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise wrong(key, path)
    if not abs(found) < LARGEST:
        raise wrong(key, path)
    return float(found)


def wholes(config: Table, key: str, path: Path, usual: list[int] | None = None) -> list[int]:
    """A list of whole numbers; usual: where there is none, and item by item for null."""
    found = config.get(key) or usual
    if not isinstance(found, list) or not 0 < len(found) <= LEVELS:
        raise wrong(key, path)
    own = usual if usual and len(usual) == len(found) else [None] * len(found)
    return [whole({key: one}, key, path, at) for one, at in zip(found, own, strict=True)]


def pair(config: Table, key: str, path: Path) -> tuple[int, int]:
    """Two whole numbers, or one for both."""
    found = config.get(key)
    high, wide = found if isinstance(found, list) and len(found) == 2 else (found, found)
    return whole({key: high}, key, path), whole({key: wide}, key, path)


def wrong(key: str, path: Path) -> Refusal:
    """The refusal of what a configuration says for a key."""
    return Refusal(f"{path}: its configuration has no {key} that can be")
