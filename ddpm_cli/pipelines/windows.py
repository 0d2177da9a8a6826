"""Windows over a large image: where they lie, and in which order they are filled."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from torch import Tensor

REACH = 3  # rows or columns of windows away beyond which none overlap


class Window(NamedTuple):
    """A part of a canvas, of a model's size; number: its place in reading order."""

    number: int
    top: int
    left: int
    height: int
    width: int

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return self.height * self.width

    def of(self, plane: Tensor) -> Tensor:
        """The part of a canvas [..., H, W] that the window shows, as a view."""
        rows = plane[..., self.top : self.top + self.height, :]
        return rows[..., self.left : self.left + self.width]


def starts(length: int, side: int) -> list[int]:
    """Where windows of one side begin: each half a window on, the last at the end."""
    if length < side:
        raise ValueError(f"{length} pixels are less than a window of {side}")
    return [*range(0, length - side, max(side // 2, 1)), length - side]


def cover(size: tuple[int, int], side: tuple[int, int]) -> list[list[Window]]:
    """Rows of windows of height and width `side` that overlap by half and cover `size`."""
    lefts = starts(size[1], side[1])
    return [
        [Window(row * len(lefts) + i, top, left, *side) for i, left in enumerate(lefts)]
        for row, top in enumerate(starts(size[0], side[0]))
    ]


def order(known: Tensor, side: tuple[int, int]) -> list[Window]:
    """The windows with unknown pixels, in the order in which they are best filled.

    known: bool [H, W].  Next is always the window that knows most, counting what windows before
    it will have filled; of equals the first in reading order.  So pictures grow from what there
    is, on whichever side (Saharia 2022, Palette, section 4: panoramas by repeated uncropping).
    """
    grid = cover((known.shape[0], known.shape[1]), side)
    known, every = known.clone(), [window for row in grid for window in row]
    counts = [int(window.of(known).sum()) for window in every]
    waiting = [(-count, number) for number, count in enumerate(counts)]
    heapify(waiting)
    ordered = []
    while waiting:
        count, number = heappop(waiting)
        best = every[number]
        if counts[number] == best.area or counts[number] != -count:
            continue  # nothing is unknown there any more, or it waits elsewhere with what it knows
        ordered.append(best)
        best.of(known).fill_(True)
        for near in _near(grid, best):
            counts[near.number] = int(near.of(known).sum())
            heappush(waiting, (-counts[near.number], near.number))
    return ordered


def _near(grid: list[list[Window]], window: Window) -> Iterator[Window]:
    """The window itself and all that may overlap with it."""
    row, column = divmod(window.number, len(grid[0]))
    for near in grid[max(row - REACH, 0) : row + REACH + 1]:
        yield from near[max(column - REACH, 0) : column + REACH + 1]
