"""Samples that are there on one sheet: in a row after the other, or in rows by a key."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ddpm_cli.errors import ConfigError
from ddpm_cli.files import captions
from ddpm_cli.files.images.sheets import Grid, gridded
from ddpm_cli.pipelines.stores import Sample
from ddpm_cli.settings.collecting import Collect, Titles

Place = tuple[int, int]


class Arranged(NamedTuple):
    """A grid, and for each of its samples the row, the column and the lines below."""

    grid: Grid
    places: Sequence[Place]
    lines: Sequence[tuple[str, ...]]


def arranged(samples: Sequence[Sample], request: Collect) -> Arranged:
    """Where each sample stands on the sheet that a request asks for."""
    entries, layout = [each.entry for each in samples], request.layout
    captions.refuse_unknown(entries, layout.labels, "--labels")
    for titles, option in ((request.rows, "--row-titles"), (request.columns, "--column-titles")):
        if titles.key is not None:
            captions.refuse_unknown(entries, [titles.key], option)
    lines = [captions.caption(entry, layout.labels) for entry in entries] if layout.labels else []
    if request.columns.words:
        layout = layout._replace(columns=len(request.columns.words))
    grid = gridded(len(samples), samples[0].shape, layout, lines)
    if request.rows.key is not None or request.columns.key is not None:
        grid, places = _grouped(grid, entries, request)
    else:
        places = [divmod(number, grid.columns) for number in range(len(samples))]
    grid = grid._replace(
        row_titles=_titles(grid.row_titles, request.rows, grid.rows, "--row-titles"),
        column_titles=_titles(
            grid.column_titles, request.columns, grid.columns, "--column-titles"
        ),
    )
    return Arranged(grid, places, lines)


def _titles(found: Sequence[str], asked: Titles, count: int, option: str) -> Sequence[str]:
    """The titles of a side of the grid: those of its groups, or the words that were given."""
    if not asked.words:
        return found
    if len(asked.words) != count:
        raise ConfigError(f"{option}: {len(asked.words)} titles for {count} of them")
    return asked.words


def _grouped(grid: Grid, entries: Sequence[Any], request: Collect) -> tuple[Grid, list[Place]]:
    """Rows, columns or both by the values of keys.

    Samples that share both stand below each other, or beside each other if rows alone have a key.
    """
    row_of, rows = _values(entries, request.rows.key)
    column_of, columns = _values(entries, request.columns.key)
    groups: dict[Place, list[int]] = {}
    for number, entry in enumerate(entries):
        groups.setdefault((row_of(entry), column_of(entry)), []).append(number)
    most = max(map(len, groups.values()))
    wide = (
        1 if columns else min(request.layout.columns or len(request.columns.words) or most, most)
    )
    heights = [
        max(math.ceil(len(found) / wide) for (r, _), found in groups.items() if r == row)
        for row in range(len(rows) or 1)
    ]
    places: list[Place] = [(0, 0)] * len(entries)
    for (row, column), found in groups.items():
        top = sum(heights[:row])
        for order, number in enumerate(found):
            places[number] = (top + order // wide, column * wide + order % wide)
    titles = [
        title for row, title in enumerate(rows) for title in [title, *[""] * (heights[row] - 1)]
    ]
    sized = grid._replace(
        rows=sum(heights),
        columns=wide * (len(columns) or 1),
        row_titles=titles,
        column_titles=columns,
    )
    return sized, places


def _values(entries: Sequence[Any], key: str | None) -> tuple[Callable[[Any], int], Sequence[str]]:
    """Which group an entry is in by a key, and the groups: numbers by size, words as they come."""
    if key is None:
        return (lambda entry: 0), ()

    def text(entry: Any) -> str:
        return captions.shown(captions.value(entry, key))

    groups = list(dict.fromkeys(map(text, entries)))
    if all(map(_is_number, groups)):
        groups.sort(key=float)
    order = {name: number for number, name in enumerate(groups)}
    return (lambda entry: order[text(entry)]), groups


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
