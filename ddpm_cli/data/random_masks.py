"""Random masks to train inpainting with: boxes, brush strokes, cut-off sides and margins."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng

CORNERS = 5  # of a brush stroke
NUMBERS = 2 * CORNERS + 6  # uniform numbers that an image's mask is made of


def random_known(
    count: int,
    size: tuple[int, int],
    rng: Rng,
    *,
    boxes: float = 0.0,
    strokes: float = 0.0,
    sides: float = 0.0,
    margins: float = 0.0,
) -> Tensor:
    """Masks float32 [count, 1, H, W], 1 where an image stays known, each from its own generator.

    boxes, strokes, sides, margins: how often each kind of hole is drawn, in proportion to the
    others.
    """
    chance = rng.uniform(NUMBERS)
    total = boxes + strokes + sides + margins
    if not total:
        raise ValueError("boxes, strokes and sides are all 0; one of them must be drawn")
    kind = chance[:, 0] * total
    holes = torch.where(
        (kind < boxes)[:, None, None],
        _boxes(chance[:, 1:5], size),
        torch.where(
            (kind < boxes + strokes)[:, None, None],
            _strokes(chance[:, 1:], size),
            _sides(chance[:, 1:3], size),
        ),
    )
    if margins:
        is_margin = (kind >= boxes + strokes + sides)[:, None, None]
        holes = torch.where(is_margin, ~_middles(chance[:, 1], size), holes)
    return (~holes).float()[:, None]


def _grid(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Middles of the pixels as shares of the height [H, 1] and of the width [1, W]."""
    height, width = size
    rows, columns = (torch.arange(n) + 0.5 for n in size)
    return (rows / height)[:, None], (columns / width)[None]


def _boxes(chance: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes whose sides are a quarter to three quarters of the image's: bool [B, H, W]."""
    high, wide = (0.25 + 0.5 * chance[:, i, None, None] for i in (0, 1))
    top, left = chance[:, 2, None, None] * (1 - high), chance[:, 3, None, None] * (1 - wide)
    y, x = _grid(size)
    return (y >= top) & (y < top + high) & (x >= left) & (x < left + wide)


def _strokes(chance: Tensor, size: tuple[int, int]) -> Tensor:
    """Lines through random corners, a twelfth to a fifth of the image thick: bool [B, H, W]."""
    corners = chance[:, : 2 * CORNERS].reshape(-1, CORNERS, 2)[..., None, None]
    radius = (1 / 24 + (1 / 10 - 1 / 24) * chance[:, 2 * CORNERS, None, None]) ** 2
    y, x = _grid(size)
    holes = torch.zeros(len(chance), *size, dtype=torch.bool)
    for number in range(CORNERS - 1):
        (y0, x0), (y1, x1) = corners[:, number].unbind(1), corners[:, number + 1].unbind(1)
        dy, dx = y1 - y0, x1 - x0
        share = ((y - y0) * dy + (x - x0) * dx) / (dy**2 + dx**2).clamp(min=1e-9)
        share = share.clamp(0, 1)
        holes |= (y - y0 - share * dy) ** 2 + (x - x0 - share * dx) ** 2 < radius
    return holes


def _sides(chance: Tensor, size: tuple[int, int]) -> Tensor:
    """A quarter to three quarters of the image, cut off at one of its four sides."""
    y, x = _grid(size)
    share = 0.25 + 0.5 * chance[:, 1, None, None]
    cuts = [y < share, y >= 1 - share, x < share, x >= 1 - share]
    side = (chance[:, 0] * 4).long()
    every = torch.stack([cut.expand(len(chance), *size) for cut in cuts])
    return every[side, torch.arange(len(chance))]


def _middles(chance: Tensor, size: tuple[int, int]) -> Tensor:
    """Middles whose sides are half to nine tenths of the image's: bool [B, H, W]."""
    y, x = _grid(size)
    reach = 0.25 + 0.2 * chance[:, None, None]
    return ((y - 0.5).abs() < reach) & ((x - 0.5).abs() < reach)
