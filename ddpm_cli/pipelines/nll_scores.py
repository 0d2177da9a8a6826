"""What `ddpm nll` says of each image or row: its likelihood in three units, and its rank."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddpm_cli import console
from ddpm_cli.files import row_places
from ddpm_cli.files.outputs import curves

SHOWN = 5  # rows that are named as the least likely


def likelihoods(bits: float, size: int) -> dict[str, float]:
    """Bits and nats for each of `size` values, and nll, the nats of all of them: -log p."""
    nats = bits * math.log(2)
    return {"bits": bits, "nats": nats, "nll": nats * size}


def place(row: Mapping[str, Any]) -> str:
    """What messages call the line or row of a file that something was said of; empty of others."""
    name = row["input"]
    number = row.get(row_places.noun(name))
    return "" if number is None else row_places.called(name, number)


class Scores:
    """Collects the scores of rows, of which the least likely has rank 1."""

    def __init__(self, size: int) -> None:
        """Take how many values a row has."""
        self._size, self._rows = size, list[dict[str, Any]]()

    def add(self, own: Mapping[str, Any], bits: float) -> dict[str, Any]:
        """Take the bits of a row, and give all that is said of it; own: which row it is."""
        row = {**own, **likelihoods(bits, self._size)}
        self._rows.append({key: value for key, value in row.items() if key != "seed"})
        return row

    def write(self, path: Path, force: bool) -> None:
        """Write a line for each row, in their order."""
        keys = dict.fromkeys(key for row in self._rows for key in row)
        order = sorted(range(len(self._rows)), key=lambda at: -self._rows[at]["nll"])
        ranks = {at: rank for rank, at in enumerate(order, 1)}
        curves.write(
            path,
            [
                {key: row.get(key) for key in keys} | {"rank": ranks[at]}
                for at, row in enumerate(self._rows)
            ],
            force,
        )

    def say(self) -> None:
        """Name the rows of files that are the least likely."""
        placed = [(where, row) for row in self._rows if (where := place(row))]
        first = sorted(placed, key=lambda pair: -pair[1]["nll"])[:SHOWN]
        if len(placed) > 1:
            named = ", ".join(f"{where} ({row['nll']:.2f})" for where, row in first)
            console.say(f"least likely, with -log p in nats: {named}")
