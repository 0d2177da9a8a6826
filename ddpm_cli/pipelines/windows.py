"""Windows over a large image: where they lie, in which order they are filled, or all at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch

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


def every(shape: Sequence[int], trained: Sequence[int]) -> list[Window]:
    """The windows of a model's shape that cover images of another one; one is all of its own."""
    (*_, height, width), (*_, rows, columns) = shape, trained
    return [window for row in cover((height, width), (rows, columns)) for window in row]


def tiled(parts: Sequence[tuple[Sequence[Window], Denoise]]) -> Denoise:
    """Denoise large images by windows that walk together.

    parts: windows of one size, and what denoises the batch of all of them, the images of the first
    window first.  Where windows overlap, their predictions are averaged (Bar-Tal 2023,
    MultiDiffusion, eq. 5), those of a window's middle counting most, so that no seam shows.
    """

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        seen = []
        for windows, denoise in parts:
            level = sigma.repeat(len(windows)) if sigma.ndim else sigma
            prediction = denoise(torch.cat([window.of(x) for window in windows]), level)
            seen.append((windows, prediction))

        def whole(name: str) -> Tensor | None:
            rows = [(windows, getattr(prediction, name)) for windows, prediction in seen]
            return None if any(values is None for _, values in rows) else _joined(rows, x)

        x0 = _joined([(windows, prediction.x0) for windows, prediction in seen], x)
        return Prediction(x0, whole("range"), whole("covariance"), free=whole("free"))

    return Wrapped(parts[0][1], call, [denoise for _, denoise in parts[1:]])


def bound(
    model: Model,
    some: Sequence[Window],
    size: int,
    conditions: Conditions,
    against: Mapping[str, Tensor] = MappingProxyType({}),
) -> Callable[[slice, Conditions], Denoise]:
    """A model as it sees rows of large images: by windows, at most `size` of them in a batch."""

    def seen(part: Sequence[Window], rows: slice, drawn: Conditions) -> Denoise:
        mine = {
            kind: torch.cat(
                [window.of(values[rows]) for window in part]
                if kind == "image"
                else [values[rows]] * len(part)
            )
            for kind, values in conditions.items()
        }
        mine |= {kind: torch.cat([v] * len(part)) for kind, v in drawn.items()}
        others = {kind: torch.cat([v[rows]] * len(part)) for kind, v in against.items()}
        return model.bound(mine, others)

    def tiles(rows: slice, drawn: Conditions) -> Denoise:
        count = max(1, size // max(1, rows.stop - rows.start))
        parts = [some[first : first + count] for first in range(0, len(some), count)]
        return tiled([(part, seen(part, rows, drawn)) for part in parts])

    return tiles


def walking(model: Model, batch: Batch, shape: Sequence[int], size: int) -> Batch:
    """A batch of images of a shape [C, H, W], by windows if it is larger than the model's.

    size: how many of them the network sees at once.
    """
    if tuple(shape) == model.info.shape:
        return batch
    some = every(shape, model.info.shape)
    seen = bound(model, some, size, batch.conditions, batch.against)
    return batch._replace(shape=tuple(shape), bound=seen)


def _joined(rows: Sequence[tuple[Sequence[Window], Tensor]], like: Tensor) -> Tensor:
    """What windows [W B, ...] say of images like `like` [B, ...], averaged where they overlap."""
    total, weight = torch.zeros_like(like), like.new_zeros(like.shape[-2:])
    for windows, values in rows:
        tent = _tent(windows[0].height, like)[:, None] * _tent(windows[0].width, like)
        for window, part in zip(windows, values.chunk(len(windows)), strict=True):
            window.of(total).add_(part * tent)
            window.of(weight).add_(tent)
    return total / weight


def _tent(side: int, like: Tensor) -> Tensor:
    """Weights [side] that fall from the middle of a window to its edges, never to 0."""
    rise = torch.arange(1, side + 1, device=like.device, dtype=like.dtype)
    return torch.minimum(rise, rise.flip(0))


def order(known: Tensor, side: tuple[int, int]) -> list[Window]:
    """The windows with unknown pixels, in the order in which they are best filled.

    known: bool [H, W].  Next is always the window that knows most, counting what windows before
    it will have filled; of equals the first in reading order.  So pictures grow from what there
    is, on whichever side (Saharia 2022, Palette, section 4: panoramas by repeated uncropping).
    """
    grid = cover((known.shape[0], known.shape[1]), side)
    known, listed = known.clone(), [window for row in grid for window in row]
    counts = [int(window.of(known).sum()) for window in listed]
    waiting = [(-count, number) for number, count in enumerate(counts)]
    heapify(waiting)
    ordered = []
    while waiting:
        count, number = heappop(waiting)
        best = listed[number]
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
