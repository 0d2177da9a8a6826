"""The grid of values that a network sees: pixels of an image, or moments of a signal."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn


class Grid(NamedTuple):
    """How many axes there are, of images two and of signals one; periodic: whether ends meet."""

    axes: int = 2
    periodic: bool = False

    def conv(
        self, width_in: int, width: int, side: int, *, stride: int = 1, padding: int = 0
    ) -> nn.Conv1d | nn.Conv2d:
        """A convolution along all axes, with filters of `side` values along each."""
        kind = nn.Conv2d if self.axes == 2 else nn.Conv1d
        if self.periodic and padding:
            return kind(width_in, width, side, stride, padding, padding_mode="circular")
        return kind(width_in, width, side, stride, padding)


PLANE = Grid()


def spread(vectors: Tensor, like: Tensor) -> Tensor:
    """Vectors [B, E] as [B, E, 1, ...], with as many axes as `like` [B, C, ...]."""
    return vectors.reshape(*vectors.shape, *[1] * (like.ndim - 2))


def cut(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first values of x [B, C, ...] along each axis of its grid."""
    return x[..., : size[0], : size[1]] if len(size) == 2 else x[..., : size[0]]
