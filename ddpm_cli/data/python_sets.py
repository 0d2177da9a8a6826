"""Data that a program gives, as sets to train on.

Bytes are pixels. Floats of three or four axes are images in [-1, 1], all others arrays in units of
their own, which are normalized.
"""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import python_told
from ddpm_cli.data.array_set import VALUE_LIMIT, ArraySet, statistics
from ddpm_cli.data.image_set import COLOURS, Data, ImageSet, Partners
from ddpm_cli.data.python_rows import Items, Rows, class_names, read
from ddpm_cli.diffusion.rng import keyed
from ddpm_cli.errors import ConfigError, Refusal

SLACK = 1e-4  # how far images in floats may leave [-1, 1], as resizing makes them
HOLDOUT = 0.05
DIGITS = 16

Split = tuple[Data, Data]


class PythonSets(NamedTuple):
    """The rows to train on, those held out, how many there are, and a digest of all of it."""

    train: Data
    test: Data
    rows: int
    digest: str


def sets(
    data: Any,
    test: Any = None,
    *,
    classes: Sequence[str] | None = None,
    holdout: float = HOLDOUT,
    as_arrays: bool = False,
    beside: Any = None,
    values: Any = None,
    texts: Any = None,
) -> PythonSets:
    """Sets of a tensor, of a pair (tensor, labels), or of a data set of tensors or such pairs.

    Without `test` the share `holdout` of the rows is held out, always the same ones; data too few
    for one to be held out are measured on themselves. classes: names of the labels 0, 1, ...;
    as_arrays: floats of any shape are arrays. beside: the images that lie beside those of data,
    a tensor [N, K, H, W], or with `test` one for each of the two. values: numbers of each row,
    {"age": [N]}, NaN where one is not told; texts: what is written of each, None where nothing
    is; with `test` a pair of such.
    """
    rows = read(data, "data")
    if as_arrays and rows.dtype == torch.uint8:
        raise ConfigError("as_arrays: bytes are pixels; give floats")
    parts = [rows] if test is None else [rows, read(test, "test")]
    names = class_names([part.labels for part in parts], classes)
    facts = repr(([part.digest for part in parts], names, holdout, as_arrays))
    digest = hashlib.sha256(facts.encode()).hexdigest()
    train, held = _split(rows, holdout) if test is None else parts
    if train.kind != held.kind:
        raise ConfigError(f"test: rows are {held.kind}, those of data {train.kind}")
    is_array = rows.dtype != torch.uint8 and (as_arrays or len(rows.shape) not in (2, 3))
    pair = _arrays(train, held, names) if is_array else _images(train, held, names)
    if beside is not None:
        both = digest + _accompany(pair, parts, beside, holdout)
        digest = hashlib.sha256(both.encode()).hexdigest()
    if values is not None or texts is not None:
        counts = [(len(rows), each) for each in _halves(len(rows), holdout)]
        if test is not None:
            counts = [(len(part), torch.arange(len(part))) for part in parts]
        both = digest + python_told.tell(pair, counts, values, texts)
        digest = hashlib.sha256(both.encode()).hexdigest()
    return PythonSets(*pair, sum(map(len, parts)), digest[:DIGITS])


def _accompany(pair: Split, parts: Sequence[Rows], beside: Any, holdout: float) -> str:
    """Put images beside those of both sets, and give their digest."""
    others = [read(one, "beside") for one in (beside if len(parts) == 2 else [beside])]
    for part, other in zip(parts, others, strict=True):
        if len(other) != len(part):
            raise ConfigError(f"beside: {len(other)} images for {len(part)} of data; one for each")
    ends = _split(others[0], holdout) if len(others) == 1 else others
    for data, other in zip(pair, ends, strict=True):
        if not isinstance(data, ImageSet):
            raise ConfigError("beside: of images, and data are none; leave it out")
        shape = _image_shape(other.shape, "beside")
        if isinstance(other.values, Items) or shape[1:] != data.shape[1:]:
            raise ConfigError(f"beside: give a tensor of images {data.shape[2]}x{data.shape[1]}")
        _refuse_floats(other.dtype, other.low, other.high, "beside")
        data.accompany(Partners(_pixels(other.values, (len(other), *shape)), shape[0]))
    return "".join(other.digest for other in others)


def _split(rows: Rows, holdout: float) -> tuple[Rows, Rows]:
    """Rows to train on and rows held out."""
    first, second = _halves(len(rows), holdout)
    return rows.chosen(first), rows.chosen(second)


def _halves(count: int, holdout: float) -> tuple[Tensor, Tensor]:
    """The numbers of both, which depend on how many there are alone."""
    if not 0 <= holdout < 1:
        raise ConfigError(f"holdout: {holdout} is no share; give a number from 0 to less than 1")
    held = round(count * holdout)
    if not 0 < held < count:
        return torch.arange(count), torch.arange(count)
    generator = torch.Generator().manual_seed(keyed(0, "holdout"))
    shuffled = torch.randperm(count, generator=generator)
    return shuffled[held:].sort().values, shuffled[:held].sort().values


def _images(train: Rows, held: Rows, names: tuple[str, ...] | None) -> Split:
    """Sets of images, bytes or floats in [-1, 1]."""
    shape = _image_shape(train.shape)
    low, high = min(train.low, held.low), max(train.high, held.high)
    _refuse_floats(train.dtype, low, high, "data")
    if train.dtype != torch.uint8 and low >= 0:
        fix = "images in [0, 1] need 2 * x - 1"
        console.warn(f"data: floats of images are in [-1, 1], and none is below 0; {fix}")
    return _image_set(train, shape, names), _image_set(held, shape, names)


def _refuse_floats(dtype: torch.dtype, low: float, high: float, name: str) -> None:
    """Refuse floats from low to high that no images have."""
    if dtype != torch.uint8 and max(-low, high) > 1 + SLACK:
        what = f"values from {low:.3g} to {high:.3g}, but floats of images are in [-1, 1]"
        fix = "scale them, give bytes as uint8, or as_arrays=True for other numbers"
        raise ConfigError(f"{name}: {what}; {fix}")


def _image_set(rows: Rows, shape: tuple[int, int, int], names: tuple[str, ...] | None) -> ImageSet:
    depth = 1 if rows.dtype == torch.uint8 else 4
    if isinstance(rows.values, Items):
        reader = _Reader(rows.values, shape)
        return ImageSet(reader, shape, rows.labels, names, count=len(rows), depth=depth)
    return ImageSet(_pixels(rows.values, (len(rows), *shape)), shape, rows.labels, names)


class _Reader:
    """Reads images of a data set one by one."""

    def __init__(self, items: Items, shape: tuple[int, int, int]) -> None:
        self._items, self._shape = items, shape

    def __call__(self, index: int) -> tuple[Tensor, int]:
        return _pixels(self._items.row(index), self._shape), index


def _pixels(values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Bytes, or floats in [-1, 1] as float32, in that shape."""
    return (values if values.dtype == torch.uint8 else values.float()).reshape(shape)


def _image_shape(shape: tuple[int, ...], name: str = "data") -> tuple[int, int, int]:
    """Channels, height and width of rows [H, W] or [C, H, W]."""
    if len(shape) == 2:
        return 1, *shape
    if len(shape) == 3 and shape[0] in COLOURS:
        return shape
    have = "x".join(map(str, shape)) or "one value"
    fix = "as_arrays=True takes floats that are no images"
    if len(shape) == 3 and shape[-1] in COLOURS:
        fix = "put the channels first: x.permute(0, 3, 1, 2)"
    elif len(shape) != 3:
        fix = "numbers that are no pixels go as floats"
    raise ConfigError(
        f"{name}: rows of {have}; images are HxW, or 1, 3 or 4 channels first; {fix}"
    )


def _arrays(train: Rows, held: Rows, names: tuple[str, ...] | None) -> Split:
    """Sets of arrays, normalized by mean and deviation of the rows to train on."""
    total = math.prod((len(train) + len(held), *train.shape))
    if total > VALUE_LIMIT:
        raise ConfigError(f"data: {total} values are too many; the limit is {VALUE_LIMIT}")
    columns = train.shape or (1,)
    values, tested = (
        part.values.all() if isinstance(part.values, Items) else part.values
        for part in (train, held)
    )
    values, tested = values.reshape(-1, *columns), tested.reshape(-1, *columns)
    try:
        mean, std = statistics(values, "data")
    except Refusal as problem:
        raise ConfigError(problem.message) from None
    return (
        ArraySet(values, mean, std, train.labels, names),
        ArraySet(tested, mean, std, held.labels, names),
    )
