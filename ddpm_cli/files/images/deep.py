"""Pixels in a scale other than that of bytes: grey of 16 bits in the modes of models, and back."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from ddpm_cli.files.images import pixels
from ddpm_cli.files.images.pixels import DEEP, Colour, Mode
from ddpm_cli.files.images.scales import Scale

LUMA = (19595, 38470, 7471)  # of red, green and blue, in 2^16 (ITU-R BT.601, as Pillow has it)


def within(planes: Tensor, scale: Scale) -> Tensor:
    """Pixels [c,h,w] with their colours in a scale, which resizing may leave."""
    colours = planes[: 1 if len(planes) < 3 else 3]
    return torch.cat([colours.clamp(scale.low, scale.high), planes[len(colours) :]])


def seen(image: Image.Image, mode: Mode, scale: Scale, background: Colour) -> Tensor:
    """A decoded image as pixels [C,h,w] in a mode, of its own scale; background: a pixel, too."""
    if image.mode == DEEP:
        return coloured(within(pixels.from_pillow(image), scale), mode, scale)
    return within(pixels.from_pillow(pixels.convert(image, mode, background)), scale)


def coloured(grey: Tensor, mode: str, scale: Scale) -> Tensor:
    """Grey of 16 bits [1,h,w] in the mode of a model, opaque."""
    opaque = [torch.full_like(grey, scale.high)] * (mode == "RGBA")
    return torch.cat([grey.expand(1 if mode == "L" else 3, -1, -1), *opaque])


def grey(planes: Tensor, scale: Scale, background: Sequence[int]) -> Tensor:
    """Pixels [C,h,w] of a model as grey of 16 bits, int32 [1,h,w], on a background."""
    colours = planes[:3].int()
    if len(planes) == 4:
        share = (planes[3:] - scale.low) / (scale.high - scale.low)
        behind = torch.tensor(background)[:, None, None]
        colours = (share * colours + (1 - share) * behind).round().int()
    if len(colours) == 1:
        return colours
    weights = torch.tensor(LUMA)[:, None, None]
    luma: Tensor = ((weights * colours.long()).sum(0) + 0x8000) >> 16
    return luma[None].int()
