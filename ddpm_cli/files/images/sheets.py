"""Sheets: images in rows and columns on one white page, enlarged and labelled if asked for."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import ImageFont
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.settings.layouts import USUAL, Layout

PADDING = 2  # pixels around each image
GAP = 4  # pixels between two captions
LETTERS = 24  # of a line, whose middle is left out if it has more
PIXEL_LIMIT = 2**28  # of a page
Lines = Sequence[str]


class Grid(NamedTuple):
    """The places on a page, and what is written beside them.

    shape: [C, H, W] of the images; lines: of text below each image; rows, columns: how many
    there are, and the titles on their left and on top, if any; corner_title: before those on top.
    """

    shape: tuple[int, ...]
    rows: int
    columns: int
    zoom: int = 1
    lines: int = 0
    widest: int = 0
    row_titles: Lines = ()
    column_titles: Lines = ()
    padding: int = PADDING
    corner_title: str = ""

    @property
    def cell(self) -> tuple[int, int]:
        """Height and width of a place without the padding around it."""
        text = max([self.widest, *map(_width, self.column_titles)])
        height, width = self.shape[1] * self.zoom, self.shape[2] * self.zoom
        return height + self.lines * _HEIGHT, max(width, text)

    @property
    def corner(self) -> tuple[int, int]:
        """Height and width of what the titles take."""
        left = max(map(_width, (*self.row_titles, self.corner_title)))
        return _HEIGHT * bool(self.column_titles), left + self.padding * bool(left)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the page."""
        (high, wide), (top, left), edge = self.cell, self.corner, self.padding
        height = top + self.rows * (high + edge) + edge
        return height, left + self.columns * (wide + edge) + edge

    def refuse_large(self, place: str) -> None:
        """Refuse a page of more pixels than are written."""
        height, width = self.size
        if height * width > PIXEL_LIMIT:
            what = f"{place}: a sheet of {width}x{height} pixels; the limit is {PIXEL_LIMIT}"
            raise Refusal(what, "lower --zoom, or ask for fewer images")


class Page:
    """A white page of a grid, on which images are put one by one."""

    def __init__(self, grid: Grid, dtype: torch.dtype = torch.uint8, white: int = 255) -> None:
        """Write the titles on a page of pixels [C, H', W']."""
        self._grid = grid
        self.pixels = torch.full((grid.shape[0], *grid.size), white, dtype=dtype)
        (high, wide), (top, left), edge = grid.cell, grid.corner, grid.padding
        self._write(grid.corner_title, edge, edge, left - edge)
        for row, text in enumerate(grid.row_titles):
            first = top + edge + row * (high + edge)
            self._write(text, first + (high - _HEIGHT) // 2, edge, left - edge)
        for column, text in enumerate(grid.column_titles):
            self._write(text, edge, left + edge + column * (wide + edge), wide)

    def put(self, row: int, column: int, image: Tensor, lines: Lines = ()) -> None:
        """Put pixels [C, H, W] in their place, with lines of text below them."""
        (high, wide), (top, left), edge = self._grid.cell, self._grid.corner, self._grid.padding
        first, start = top + edge + row * (high + edge), left + edge + column * (wide + edge)
        large = zoomed(image, self._grid.zoom)
        height, width = large.shape[1:]
        middle = start + (wide - width) // 2
        self.pixels[:, first : first + height, middle : middle + width] = large
        for number, text in enumerate(lines):
            self._write(text, first + height + number * _HEIGHT, start, wide)

    def _write(self, text: str, top: int, left: int, width: int) -> None:
        """Write a line in black into the middle of so many pixels."""
        ink = _ink(text)
        if not ink.numel():
            return
        height, across = ink.shape
        start = left + (width - across) // 2
        colours = 1 if len(self.pixels) < 3 else 3
        area = self.pixels[:colours, top : top + height, start : start + across]
        area[ink.expand(colours, -1, -1)] = 0


def sheet(
    images: Tensor,
    layout: Layout = USUAL,
    captions: Sequence[Lines] = (),
    *,
    padding: int = PADDING,
    white: int = 255,
) -> Tensor:
    """Lay out pixels [B,C,H,W] row by row on one white image [C,H',W'].

    captions: the lines below each image.
    """
    count, *shape = images.shape
    grid = gridded(count, tuple(shape), layout, captions)._replace(padding=padding)
    grid.refuse_large("-o")
    page = Page(grid, images.dtype, white)
    for number, image in enumerate(images):
        page.put(*divmod(number, grid.columns), image, captions[number] if captions else ())
    return page.pixels


def gridded(
    count: int, shape: tuple[int, ...], layout: Layout = USUAL, captions: Sequence[Lines] = ()
) -> Grid:
    """The grid of so many images, nearly a square unless the columns are told."""
    columns = min(layout.columns or math.ceil(math.sqrt(count)), count)
    written = [_width(line) + GAP for lines in captions for line in lines if line]
    widest = max(written, default=0)
    rows, lines = math.ceil(count / columns), max(map(len, captions), default=0)
    return Grid(shape, rows, columns, layout.zoom, lines, widest)


def drawn(
    images: Tensor, layout: Layout, captions: Sequence[Lines] = (), *, white: int = 255
) -> Tensor:
    """A sheet of images [B,C,H,W]; one alone without a caption has no page around it."""
    if len(images) == 1 and not captions:
        return zoomed(images[0], layout.zoom)
    return sheet(images, layout, captions, white=white)


def frames(images: Tensor, layout: Layout, captions: Sequence[Lines] = ()) -> list[Tensor]:
    """Each of images uint8 [B,C,H,W] as a page of its own; pages of a film are all as large."""
    if not captions:
        return list(zoomed(images, layout.zoom))
    grid = gridded(1, tuple(images.shape[1:]), layout, captions)
    grid.refuse_large("-o")
    pages = []
    for image, lines in zip(images, captions, strict=True):
        page = Page(grid, images.dtype)
        page.put(0, 0, image, lines)
        pages.append(page.pixels)
    return pages


def zoomed(image: Tensor, zoom: int) -> Tensor:
    """An image [..., H, W] whose pixels are squares of so many pixels a side."""
    if zoom == 1:
        return image
    return image.repeat_interleave(zoom, -2).repeat_interleave(zoom, -1)


def shortened(text: str) -> str:
    """A line of text without its middle if it is too long."""
    text = text.encode("latin-1", "replace").decode("latin-1")
    half = (LETTERS - 2) // 2
    return text if len(text) <= LETTERS else f"{text[:half]}..{text[-half:]}"


_HEIGHT, _ACROSS = 11, 6  # of a letter of the bitmap font that comes with Pillow


def _width(text: str) -> int:
    return len(shortened(text)) * _ACROSS


def _ink(text: str) -> Tensor:
    """Where a line of text is black, bool [11, W]."""
    # The same pixels wherever it is drawn: this font has no outlines and needs no library.
    load = getattr(ImageFont, "load_default_imagefont", ImageFont.load_default)
    mask = load().getmask(shortened(text), "1")
    width, height = mask.size
    return torch.from_numpy(np.array(mask, dtype=np.uint8).reshape(height, width) > 0)
