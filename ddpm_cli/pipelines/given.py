"""Rows of numbers that verbs are given: read whole, as a model sees them."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import far_values, given_rows
from ddpm_cli.data.given_rows import Given
from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.failures import Failures
from ddpm_cli.files import row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.settings.layouts import USUAL, Layout
from ddpm_cli.settings.request_parts import Look, Use


class Row(NamedTuple):
    """A row of a file, values float64 [...] in the units of the data.

    at: which row of the file it is, from 0; number: of its line or row, see `row_places`.
    """

    name: str
    at: int
    number: int
    values: Tensor
    label: str | None = None

    @property
    def place(self) -> str:
        """What messages call it."""
        return row_places.called(self.name, self.number)


def refuse_pictures(use: Use, look: Look = Look(), layout: Layout = USUAL) -> None:  # noqa: B008
    """Refuse options that are about pictures, to a model of rows."""
    given = {
        "--fit, --background": look != Look(),
        "--columns, --zoom, --labels": layout != USUAL,
        "data.range": use.range is not None,
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise ConfigError(f"{name}: of images, and this model makes rows; leave it out")


def rows(
    sources: Sequence[Source], info: DataInfo, failures: Failures, *, classed: bool = False
) -> Iterator[Row]:
    """The rows of files, one file after the other; a file that cannot be read is reported.

    classed: each is told its own class.
    """

    def read(source: Source) -> Given:
        given = given_rows.read(source, info)
        return own_classes(given, info) if classed else given

    for given in failures.passing(read, sources):
        yield from of_file(given)


def say_unclassed(given: Given) -> None:
    """Say which rows of a file with classes have none."""
    unclassed = [row for row, label in enumerate(given.labels or []) if label is None]
    if unclassed:
        have = "row has" if len(unclassed) == 1 else "rows have"
        what = f"{len(unclassed)} {have} no class, which is told and never filled"
        console.warn(f"{given.called(unclassed[0])}: {what}; --class NAME tells one")


def own_classes(given: Given, info: DataInfo) -> Given:
    """The same rows, each of which is told the class that the file says; no classes are refused.

    Rows that have none are told none, which is said.
    """
    if given.labels is None:
        named = f"named {info.columns.label!r}, " if info.columns.label else "of classes, "
        fix = "--class NAME tells all rows one, and without --class they are told none"
        raise Refusal(f"{given.source.name}: no column {named}and --class own is that", fix)
    say_unclassed(given)
    return given


def of_file(given: Given) -> Iterator[Row]:
    """The rows of a file."""
    labels = given.labels or [None] * len(given.values)
    rows = zip(given.numbers, given.values, labels, strict=True)
    for at, (number, values, label) in enumerate(rows):
        yield Row(given.source.name, at, number, values, label)


def near(given: Given, info: DataInfo) -> Given:
    """The same rows; a value far from all that training saw is refused."""
    if found := far_values.first(given.values, info):
        row, *place = found
        value = float(given.values[found])
        raise far_values.refusal(given.called(row), tuple(place), value, info)
    return given


def whole(given: Given, info: DataInfo, use: Use) -> Given:
    """The same rows; a gap in them is refused, and a value that is far."""
    gaps = given.values.isnan().flatten(1).any(1).nonzero()[:, 0].tolist()
    if gaps:
        raise gap(given.called(gaps[0]), given.source.name, use)
    return near(given, info)


def gap(place: str, file: str, use: Use) -> Refusal:
    """The refusal of a row of a file with a gap; use: of the request, which may name a model."""
    ending = ".npy" if Path(file).suffix.lower() == ".npy" else ".csv"
    model = f" -m {shlex.quote(use.model)}" if use.model and not use.is_standing else ""
    fill = f"ddpm inpaint {shlex.quote(file)}{model} -o filled{ending}"
    return Refusal(f"{place}: a value is missing", f"draw it, with the same model: {fill}")


def seen(some: Sequence[Row], info: DataInfo) -> Tensor:
    """Rows as a network sees them, float64 [B, ...]."""
    return info.normalized(torch.stack([row.values for row in some]))


def class_number(row: Row, names: Sequence[str]) -> int:
    """The number of the class that a row says, that of the null class if it says none."""
    if row.label is None:
        return len(names)
    if row.label not in names:
        raise Refusal(
            f"{row.place}: no class {row.label!r} was learned", nearest(row.label, names)
        )
    return names.index(row.label)
