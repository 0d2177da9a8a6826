"""What restoring without training is to undo: the linear map that took something from an image.

A component is called with the shape [C, H, W] of the whole image.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.data.degradations import LUMA, Filter, gaussian, resize, small
from ddpm_cli.diffusion.restoration import Separable
from ddpm_cli.settings.knobs import Factor, Pixels, Share


def upscale(
    shape: Sequence[int],
    *,
    factor: Factor = 2.0,
    filter: Literal["bicubic", "area"] = "bicubic",
) -> Separable:
    """Make an image `factor` times larger that gives the known one when it is shrunk again.

    filter: antialiased bicubic, or the mean over the area of a pixel.
    """
    channels, height, width = shape
    rows, columns = small(height, width, factor)
    return Separable(
        [torch.eye(channels), _resizing(height, rows, filter), _resizing(width, columns, filter)]
    )


def colorize(shape: Sequence[int]) -> Separable:
    """Make a colour image that is the known one in grey: 0.299 R + 0.587 G + 0.114 B."""
    channels, height, width = shape
    if channels != len(LUMA):
        raise ValueError(f"the model's images have {channels} channels, not red, green and blue")
    return Separable(
        [torch.tensor([LUMA], dtype=torch.float64), torch.eye(height), torch.eye(width)]
    )


def deblur(shape: Sequence[int], *, sigma: Pixels = 1.0, least: Share = 0.05) -> Separable:
    """Make an image that is the known one when a Gaussian of `sigma` pixels blurs it.

    Of patterns that the blur leaves less than the share `least` nothing is known, as they drown
    in the rounding of pixels: they are left to the model.
    """
    channels, *sides = shape
    deviation = torch.tensor([sigma], dtype=torch.float64)
    return Separable(
        [torch.eye(channels), *(gaussian(side, deviation)[0] for side in sides)], least
    )


def _resizing(size: int, to: int, filter: Filter) -> Tensor:
    """The matrix [to, size] that resizes an axis: what becomes of each unit vector."""
    # Two columns wide, because torch resizes images of one column wrongly (release 2.14).
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1).expand(-1, -1, -1, 2)
    return resize(units.contiguous(), (to, 2), filter)[:, 0, :, 0].T
