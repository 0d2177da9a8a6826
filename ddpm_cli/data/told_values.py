"""Numbers that are told of the rows of a set: what a cell says, and their scale in training."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Held
from ddpm_cli.errors import ConfigError, Refusal, nearest
from ddpm_cli.files import quantities
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.files.titles import GAPS, is_number

SHOWN = 40  # letters of a cell in a message


class Numbers(NamedTuple):
    """Numbers [N, V] in float64 by their names, NaN where a row says none; place: their file."""

    names: tuple[str, ...]
    rows: Tensor
    place: str


class _Set(Protocol):
    conditions: Held
    values: Quantities | None


_Part = TypeVar("_Part", bound=_Set)


def put(data: _Part, numbers: Numbers | None, rows: Tensor, train: Tensor) -> _Part:
    """A set that tells numbers, too: those of its `rows`, on the scale of the rows to train on."""
    if numbers is None:
        return data
    learned = numbers.rows[train]
    for name, column in zip(numbers.names, learned.unbind(1), strict=True):
        if column.isnan().all():
            what = f"{numbers.place}: no row to train on says its {name}"
            raise Refusal(what, "leave it out of data.values")
    data.values = quantities.of(numbers.names, learned)
    data.conditions = data.conditions | {"values": data.values.normalized(numbers.rows[rows])}
    return data


def number(cell: Any, where: str) -> float:
    """What a cell of a table or a value of JSON says; NaN where nothing is there."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return math.nan
    if isinstance(cell, (bool, int, float)) and abs(cell) < math.inf:
        return float(cell)
    text = cell.strip() if isinstance(cell, str) else repr(cell)
    if isinstance(cell, str) and text.lower() in GAPS:
        return math.nan
    if isinstance(cell, str) and is_number(text):
        return float(text)
    fix = "numbers can be told, and empty cells are not; words can be the class (data.label)"
    raise Refusal(f"{where}: {text[:SHOWN]!r} is no number", fix)


def position(word: str, names: Sequence[str] | None, count: int, place: object) -> int:
    """Where a column is that is given by its name or its number from 1."""
    numbers = [str(number + 1) for number in range(count)]
    if names and word in names:
        return names.index(word)
    if word in numbers:
        return int(word) - 1
    raise unknown(word, names or numbers, place)


def unknown(word: str, names: Sequence[str], place: object) -> ConfigError:
    """The refusal of a column that is not there."""
    fix = nearest(word, names) if names else "it has none"
    return ConfigError(f"data.values: no column {word!r} in {place}; {fix}")


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """Names of numbers, each once."""
    if twice := next((name for at, name in enumerate(names) if name in names[:at]), None):
        raise ConfigError(f"data.values: {twice!r} is named twice; name it once")
    return tuple(names)


def of_words(names: Sequence[str], rows: Sequence[Sequence[float]], place: str) -> Numbers:
    """Numbers of rows that were read one by one."""
    listed = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(names))
    return Numbers(checked(names), listed, place)
