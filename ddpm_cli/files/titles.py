"""What is known of the columns of a table: their names, and which hold integers alone."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Titles(NamedTuple):
    """What the columns of a table are called, if anything, and which hold integers alone.

    label: the name of the column that holds the class.
    """

    columns: tuple[str, ...] | None
    whole: tuple[bool, ...]
    label: str | None = None


def of_json(data: Mapping[str, Any]) -> Titles | None:
    """What a header says of the columns of a table, one entry for each value of a row."""
    entries = data.get("titles")
    if entries is None:
        return None
    names, label = entries["columns"], entries["label"]
    columns = tuple(map(str, names)) if names is not None else None
    whole = tuple(map(bool, entries["whole"]))
    if any(len(each) != data["shape"][0] for each in (whole, columns) if each is not None):
        raise ValueError("titles: not as many as values")
    return Titles(columns, whole, None if label is None else str(label))
