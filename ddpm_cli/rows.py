"""The data that a command measures a model on: images of files, or rows of a data set in order."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import build
from ddpm_cli.config import Config
from ddpm_cli.data.images import Data
from ddpm_cli.errors import ConfigError
from ddpm_cli.failures import Failures
from ddpm_cli.files import inputs
from ddpm_cli.files.checkpoint import DataInfo
from ddpm_cli.files.inputs import Fit, Source


class Rows(NamedTuple):
    """A batch: names and numbers of rows, values [B, ...] as a network sees them, true classes."""

    names: list[str]
    numbers: list[int]
    values: Tensor
    labels: list[int] | None = None


def of_files(
    sources: Sequence[Source],
    shape: Sequence[int],
    fit: Fit,
    background: str,
    batch: int,
    failures: Failures,
    scale: Callable[[Tensor, str], Tensor],
) -> Iterator[Rows]:
    """Batches of image files; those that cannot be read, or scaled, are reported and left out."""

    def read(numbered: tuple[int, Source]) -> tuple[int, str, Tensor]:
        number, source = numbered
        image = inputs.read(source, shape, fit, background).image
        return number, source.name, scale(image, inputs.shown(source))

    given = failures.passing(read, enumerate(sources))
    while found := list(islice(given, batch)):
        numbers, names, values = zip(*found, strict=True)
        yield Rows(list(names), list(numbers), torch.stack(values))


def of_set(
    data: Data, info: DataInfo, count: int, batch: int, scale: Callable[[Tensor, str], Tensor]
) -> Iterator[Rows]:
    """Batches of the first `count` rows of a set, in order, nothing dropped or augmented."""
    for numbers in torch.arange(count).split(batch):
        values, labels = data[numbers]
        if info.is_image:
            values = scale(values, f"rows {int(numbers[0])} to {int(numbers[-1])}")
        else:
            values = _renormalized(values, data, info)
        listed = [int(number) for number in numbers]
        names = [str(number) for number in listed]
        yield Rows(names, listed, values, None if labels is None else labels.tolist())


def data_set(config: Config, split: str, info: DataInfo, taken: int) -> Data:
    """The data set of a configuration; one that is unlike the model's own is refused.

    taken: the number of classes that the model is told.
    """
    found = build.images(config, split)
    if tuple(found.shape) != info.shape or (found.mean is None) != info.is_image:
        have, want = ("x".join(map(str, shape)) for shape in (found.shape, info.shape))
        raise ConfigError(f"data: rows of {have} values, the model takes {want} of its own kind")
    if taken and found.labels is not None and found.classes != info.classes:
        raise ConfigError("data: other classes than those of the model; name the model's data")
    return found


def _renormalized(values: Tensor, data: Data, info: DataInfo) -> Tensor:
    """Values in float64 as the model was trained to see them, whatever part of the set this is."""
    wide = [-1, *[1] * (values.ndim - 2)]
    mean, std, own_mean, own_std = (
        torch.tensor(numbers, dtype=torch.float64).reshape(wide)
        for numbers in (data.mean, data.std, info.mean, info.std)
    )
    return (values.double() * std + mean - own_mean) / own_std
