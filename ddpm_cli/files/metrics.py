"""What a run noted of itself in metrics.jsonl, read whatever became of the file."""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

Row = dict[str, float]


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines that name a step, as they are; a torn line and any other is left out."""
    found = []
    if not path.is_file():
        return []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            found.append(json.loads(line))
    return [
        line for line in found if isinstance(line, dict) and math.isfinite(_number(line, "step"))
    ]


def rows(path: Path) -> list[Row]:
    """The numbers of each step, the steps rising; those of a table as `table.key`.

    Lines of one step are one row. Where a run went back and made steps again, the later lines
    count.
    """
    kept: list[Row] = []
    for line in lines(path):
        found = row(line)
        while kept and kept[-1]["step"] > found["step"]:
            kept.pop()
        if kept and kept[-1]["step"] == found["step"]:
            kept[-1] |= found
        else:
            kept.append(found)
    return kept


def row(line: Mapping[str, Any]) -> Row:
    """The numbers of a line; those of a table as `table.key`."""
    return dict(_numbers(line))


def seconds(rows: Sequence[Row], batch: int) -> list[float]:
    """Seconds of training at each row; of old lines, which do not tell, as the speed says.

    NaN as soon as a row tells neither.
    """

    def later(before: tuple[float, float], row: Row) -> tuple[float, float]:
        step, passed = before
        if math.isfinite(told := row.get("seconds", math.nan)):
            return row["step"], max(told, passed) if math.isfinite(passed) else told
        speed = row.get("images_per_second", math.nan)
        if row["step"] == step or not speed > 0:
            return row["step"], passed if row["step"] == step else math.nan
        return row["step"], passed + (row["step"] - step) * batch / speed

    return [passed for _, passed in accumulate(rows, later, initial=(0.0, 0.0))][1:]


def _numbers(line: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, float]]:
    for key, value in line.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{path}{key}.")
        elif not isinstance(value, bool) and isinstance(value, (int, float)):
            yield f"{path}{key}", _number(line, key)


def _number(line: Mapping[str, Any], key: str) -> float:
    """A number as a float; NaN if it is none."""
    value = line.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
