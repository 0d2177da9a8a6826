"""What a checkpoint knows of the frozen encoder that its network was told texts by."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

LIMIT = 2**16  # of a width and a length


class Encoding(NamedTuple):
    """A frozen encoder, by the SHA-256 of its files, and what it says: at most `length` tokens."""

    hash: str
    width: int
    length: int


def of_json(data: Mapping[str, Any]) -> Encoding | None:
    """What a header says of a frozen encoder, if there is one."""
    entry = data.get("encoding")
    if entry is None:
        return None
    found = Encoding(str(entry["hash"]), entry["width"], entry["length"])
    sizes = (found.width, found.length)
    whole = all(type(size) is int and 0 < size <= LIMIT for size in sizes)
    if not whole or not re.fullmatch("[0-9a-f]{64}", found.hash):
        raise ValueError("encoding: no encoder of texts")
    return found
