"""Numbers and texts that a program gives beside its rows."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Data, Texts
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import quantities


def tell(
    pair: tuple[Data, Data], rows: Sequence[tuple[int, Tensor]], values: Any, texts: Any
) -> str:
    """Let both sets say numbers and texts of their rows; a digest of these.

    values: {"age": [N]}, NaN where one is not told; texts: [N], None where nothing is written; of
    sets that were given apart, a pair of such. rows: for each set of how many rows it is made,
    and their numbers.
    """
    digest = hashlib.sha256()
    if values is not None:
        digest.update(_tell_values(pair, rows, values))
    if texts is not None:
        digest.update(_tell_texts(pair, rows, texts))
    return digest.hexdigest()


def _each(given: Any) -> list[Any]:
    """What is given of the rows of each set: of both the same, or a pair."""
    return [*given] if isinstance(given, tuple) and len(given) == 2 else [given, given]


def _tell_values(
    pair: tuple[Data, Data], rows: Sequence[tuple[int, Tensor]], values: Any
) -> bytes:
    tables = []
    for given, (count, chosen) in zip(_each(values), rows, strict=True):
        if not isinstance(given, Mapping) or not given:
            raise ConfigError('values: give numbers by name, as {"age": [20, 30]}')
        tables.append((tuple(map(str, given)), _columns(given, count)[chosen]))
    (names, first), (others, _) = tables
    if others != names:
        raise ConfigError(f"values: test says {', '.join(others)}, data {', '.join(names)}")
    known = quantities.of(names, first)
    for data, (_, table) in zip(pair, tables, strict=True):
        data.conditions = data.conditions | {"values": known.normalized(table)}
        data.values = known
    return repr(names).encode() + b"".join(table.numpy().tobytes() for _, table in tables)


def _columns(given: Mapping[Any, Any], count: int) -> Tensor:
    """Numbers [N, V] of as many rows."""
    columns = []
    for name, column in given.items():
        try:
            listed = column if hasattr(column, "ndim") else _listed(column)
            numbers = torch.as_tensor(listed, dtype=torch.float64).cpu()
        except (TypeError, ValueError, RuntimeError):
            raise ConfigError(f"values: {name}: no numbers; give one for each row") from None
        if tuple(numbers.shape) != (count,):
            have = "x".join(map(str, numbers.shape)) or "one"
            raise ConfigError(f"values: {name}: {have} for {count} rows; give one for each")
        if bool(numbers.isinf().any()):
            raise ConfigError(f"values: {name}: a number that is not finite; NaN is not told")
        columns.append(numbers)
    return torch.stack(columns, dim=1)


def _listed(column: Sequence[float | None]) -> list[float]:
    """Numbers, NaN for None."""
    return [math.nan if one is None else one for one in column]


def _tell_texts(pair: tuple[Data, Data], rows: Sequence[tuple[int, Tensor]], texts: Any) -> bytes:
    every: list[list[str | None]] = []
    for given, (count, chosen) in zip(_each(texts), rows, strict=True):
        listed = [*given] if isinstance(given, Sequence) and not isinstance(given, str) else []
        if len(listed) != count:
            raise ConfigError(f"texts: {len(listed)} for {count} rows; give one for each")
        if wrong := [one for one in listed if not isinstance(one, str | None)]:
            raise ConfigError(f"texts: {wrong[0]!r} is no text")
        every.append([listed[row] for row in chosen.tolist()])
    for data, own in zip(pair, every, strict=True):
        data.texts = _texts(own)
    return json.dumps(every).encode()


def _texts(own: Sequence[str | None]) -> Texts:
    return Texts(lambda name: own[int(name)], [*map(str, range(len(own)))])
