"""Rows that a program gives: a tensor, a pair (tensor, labels), or a map-style data set.

A data set is read once, to check it; rows that would fill the memory are read again when they are
needed.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.class_tables import CLASS_LIMIT
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images.pixels import from_pillow

MEMORY = 2**30  # bytes of a data set that are held
TWICE = 8  # items that are read again at once, to see whether they are the same


class Items:
    """Rows of a data set that is too large to be held, by their numbers in it."""

    def __init__(self, dataset: Any, numbers: Sequence[int]) -> None:
        self._dataset, self._numbers = dataset, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, rows: Tensor) -> "Items":
        return Items(self._dataset, [self._numbers[row] for row in rows.tolist()])

    def row(self, index: int) -> Tensor:
        """Read one row, as the data set gives it."""
        return _item(self._dataset, self._numbers[index], "data")[0]

    def all(self) -> Tensor:
        """Read them all."""
        return torch.stack([self.row(index) for index in range(len(self))])


@dataclass(frozen=True)
class Rows:
    """Rows [N, *shape] with the least and largest value, and the numbers of their classes.

    digest: the SHA-256 of all of it.
    """

    values: Tensor | Items
    shape: tuple[int, ...]
    dtype: torch.dtype
    low: float
    high: float
    labels: Tensor | None
    digest: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def kind(self) -> str:
        """What each row is, in words."""
        sides = "x".join(map(str, self.shape)) or "one value"
        labelled = "with labels" if self.labels is not None else "without labels"
        return f"{sides} of {str(self.dtype).removeprefix('torch.')} {labelled}"

    def chosen(self, rows: Tensor) -> "Rows":
        """Some of the rows, by their numbers."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, values=self.values[rows], labels=labels)


def read(data: Any, name: str) -> Rows:
    """All rows of what is given, which messages call `name`."""
    if isinstance(data, (Tensor, np.ndarray)):
        return _held(_tensor(data, name), None, name)
    if isinstance(data, tuple) and len(data) == 2 and isinstance(data[0], (Tensor, np.ndarray)):
        return _held(_tensor(data[0], name), data[1], name)
    if hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, str):
        return _collected(data, name)
    fix = "give a tensor, a pair (tensor, labels) or a data set with a length"
    raise ConfigError(f"{name}: {type(data).__name__}; {fix}")


def class_names(
    labels: Sequence[Tensor | None], names: Sequence[str] | None
) -> tuple[str, ...] | None:
    """The names of the classes 0, 1, ...: those given, or the numbers up to the largest label."""
    numbers = [part for part in labels if part is not None]
    if not numbers:
        if names is not None:
            raise ConfigError("classes: the data have no labels; give a pair (data, labels)")
        return None
    count = max(int(part.max()) for part in numbers) + 1
    if count > CLASS_LIMIT:
        raise ConfigError(f"labels: {count} classes; at most {CLASS_LIMIT}")
    words = tuple(map(str, range(count) if names is None else names))
    if len(words) < count:
        raise ConfigError(f"classes: {len(words)} names, but there is a label {count - 1}")
    if len(set(words)) < len(words):
        raise ConfigError("classes: a name stands twice; give each class its own")
    return words


def _held(values: Tensor, labels: Any, name: str) -> Rows:
    """Rows that are in memory already."""
    if not values.ndim or not values.numel():
        raise ConfigError(f"{name}: it holds nothing ({_shown(values.shape) or 'one value'})")
    _refuse_type(values, name)
    numbers = None if labels is None else _labels(labels, len(values))
    digest = hashlib.sha256(repr((tuple(values.shape), str(values.dtype))).encode())
    digest.update(_bytes(values))
    if numbers is not None:
        digest.update(_bytes(numbers))
    low, high = _extent(values, name)
    shape = tuple(values.shape[1:])
    return Rows(values, shape, values.dtype, low, high, numbers, digest.hexdigest())


def _collected(dataset: Any, name: str) -> Rows:
    """Rows of a data set, all read once."""
    count = len(dataset)
    if not count:
        raise ConfigError(f"{name}: it holds nothing")
    first, _ = _item(dataset, 0, name)
    is_held = count * first.numel() * first.element_size() <= MEMORY
    values = torch.empty(count if is_held else 0, *first.shape, dtype=first.dtype)
    digest, low, high = hashlib.sha256(repr((count, first.dtype)).encode()), math.inf, -math.inf
    labels: list[int] = []
    for number, (row, label) in enumerate(_alike(dataset, name)):
        extent = _extent(row, f"{name}: item {number}")
        low, high = min(low, extent[0]), max(high, extent[1])
        digest.update(_bytes(row) + repr(label).encode())
        if is_held:
            values[number] = row
        if label is not None:
            labels.append(label)
    numbers = torch.tensor(labels) if labels else None
    kept = values if is_held else Items(dataset, range(count))
    return Rows(kept, tuple(first.shape), first.dtype, low, high, numbers, digest.hexdigest())


def _alike(dataset: Any, name: str) -> Iterator[tuple[Tensor, int | None]]:
    """All rows and labels of a data set; those that are unlike the first are refused."""
    first, first_label = _item(dataset, 0, name)
    with console.progress(len(dataset), "items read") as bar:
        for number in range(len(dataset)):
            row, label = _item(dataset, number, name)
            place = f"{name}: item {number}"
            if (row.shape, row.dtype) != (first.shape, first.dtype):
                have, want = (f"{_shown(x.shape)} of {x.dtype}" for x in (row, first))
                raise ConfigError(f"{place}: {have}, item 0 is {want}; make all alike")
            if (label is None) != (first_label is None):
                raise ConfigError(f"{place}: some items have labels and some have none")
            if number < TWICE and not torch.equal(row, _item(dataset, number, name)[0]):
                fix = "leave random changes out; train.flip and train.crop are drawn by the seed"
                raise ConfigError(f"{place}: another one each time it is read; {fix}")
            yield row, label
            bar.advance()


def _item(dataset: Any, number: int, name: str) -> tuple[Tensor, int | None]:
    """One row of a data set, an image or numbers, and its label if it has one."""
    place, item, label = f"{name}: item {number}", dataset[number], None
    if isinstance(item, (tuple, list)) and len(item) in (1, 2):
        item, label = item[0], item[1] if len(item) == 2 else None
    if isinstance(item, Image.Image):
        if item.mode not in ("L", "RGB", "RGBA"):
            raise ConfigError(f"{place}: an image of mode {item.mode}; convert it to L or RGB")
        item = from_pillow(item)
    if not isinstance(item, (Tensor, np.ndarray)):
        fix = "give tensors or images, or pairs of one and a label"
        raise ConfigError(f"{place}: {type(item).__name__}; {fix}")
    row = _tensor(item, place)
    _refuse_type(row, place)
    return row, None if label is None else int(_labels([label], 1, f"{place}: label")[0])


def _tensor(values: "Tensor | np.ndarray[Any, Any]", place: str) -> Tensor:
    """Numbers on the CPU that no gradient flows to."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    try:
        return torch.from_numpy(np.ascontiguousarray(values))
    except TypeError:
        raise ConfigError(f"{place}: an array of {values.dtype}; give numbers") from None


def _labels(labels: Any, count: int, place: str = "labels") -> Tensor:
    """The number of the class of each of `count` rows."""
    try:
        numbers = torch.as_tensor(labels).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise ConfigError(f"{place}: {type(labels).__name__}; give whole numbers") from None
    if numbers.is_floating_point() or numbers.is_complex() or numbers.dtype == torch.bool:
        raise ConfigError(f"{place}: of {numbers.dtype}; give whole numbers from 0 on")
    if numbers.shape != (count,):
        raise ConfigError(f"{place}: of shape {_shown(numbers.shape)} for {count} rows")
    if int(numbers.min()) < 0:
        raise ConfigError(f"{place}: {int(numbers.min())}; give whole numbers from 0 on")
    return numbers.long()


def _refuse_type(values: Tensor, place: str) -> None:
    if values.dtype != torch.uint8 and not values.is_floating_point():
        raise ConfigError(f"{place}: of {values.dtype}; give bytes (uint8) or floats")


def _extent(values: Tensor, place: str) -> tuple[float, float]:
    """The least and the largest value."""
    low, high = (float(bound) for bound in values.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"{place}: values that are not finite")
    return low, high


def _bytes(values: Tensor) -> bytes:
    return values.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _shown(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
