"""Tensors of a foreign file by their names: shapes, and the changes that many formats need."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal


class Keys:
    """The tensors of a file; one that should be there and is not is refused."""

    def __init__(self, tensors: Mapping[str, Tensor], path: Path) -> None:
        self.tensors, self._path = tensors, path

    def size(self, name: str, axis: int) -> int:
        """The length of an axis of a tensor."""
        if name not in self.tensors:
            raise self.refusal(f"{name} is missing")
        shape = self.tensors[name].shape
        if axis >= len(shape):
            raise self.refusal(f"{name} has {len(shape)} axes, too few")
        return shape[axis]

    def starts(self, prefix: str) -> bool:
        """Whether any name starts so."""
        return any(name.startswith(prefix) for name in self.tensors)

    def count(self, prefix: str) -> int:
        """One more than the highest number that stands behind a prefix; 0 if there is none."""
        pattern = re.compile(rf"{re.escape(prefix)}(\d{{1,4}})\.")
        found = (pattern.match(name) for name in self.tensors)
        return max((int(match[1]) + 1 for match in found if match), default=0)

    def refusal(self, what: str) -> Refusal:
        """That the tensors are not those of a network, and why."""
        return Refusal(f"{self._path}: corrupt: {what}", "copy or download it again")


def swapped(weight: Tensor) -> Tensor:
    """Columns [.., n] of a layer that sees sines, then cosines, for cosines first."""
    half = weight.shape[1] // 2
    return torch.cat([weight[:, half : 2 * half], weight[:, :half], weight[:, 2 * half :]], dim=1)


def linear(weight: Tensor) -> Tensor:
    """A convolution [out, in, 1] or [out, in, 1, 1] as the matrix [out, in]."""
    return weight.flatten(1) if weight.dim() > 2 and weight[0, 0].numel() == 1 else weight


def with_null(table: Tensor) -> Tensor:
    """A table of classes [K, n] with a row of zeros for the null class, which was not trained."""
    return torch.cat([table, table.new_zeros(1, *table.shape[1:])])


def ratio(width: int, unit: int) -> int | float:
    """A width as a multiple of another: whole if it is."""
    return width // unit if width % unit == 0 else width / unit
