"""Edited images given back as their inputs came: in the mode, bits and size of the file."""

import torch
from torch import Tensor

from ddpm_cli.files.images import deep, pixels
from ddpm_cli.files.images.inputs import Input, offset
from ddpm_cli.files.images.scales import BYTES

NATIVE = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def unpadded(before: Input, edited: Tensor) -> Tensor:
    """An edited image [C,H,W] without the padding that the input was given."""
    size = (before.original.shape[2], before.original.shape[1])
    rows, columns = offset(size, (edited.shape[2], edited.shape[1]))
    return edited[:, rows, columns]


def paste(before: Input, edited: Tensor, hole: Tensor) -> Tensor:
    """An edited image [C,H,W] in the input's mode and, if it was padded, of its size.

    `hole`, bool [1,H,W], says what is new: all else is the file's own, with the colours that a
    grey model does not see, and transparency. See pixels.decoded for what mode that is. After
    crop and resize the size is the model's.
    """
    if edited.shape != before.image.shape or edited.dtype != before.image.dtype:
        raise ValueError(f"{edited.dtype} {tuple(edited.shape)} for {tuple(before.image.shape)}")
    count, height, width = before.original.shape
    rows, columns = offset((width, height), (edited.shape[2], edited.shape[1]))
    new = _native(before, edited[:, rows, columns], NATIVE[count])
    return torch.where(hole[:, rows, columns].cpu(), new, before.original)


def grown(before: Input, edited: Tensor, *, colourful: bool = False) -> Tensor:
    """A larger image [C,H,W] in the input's mode, without the padding that it was given.

    What was transparent is opaque, on the background, unless C is 4. colourful: in colours, even
    of a grey input; then 8 bits are left of 16.
    """
    count, height, width = before.original.shape
    page = before.image.shape[-2:]
    spans = offset((width, height), (page[1], page[0]))
    rows, columns = (
        slice(round(span.start * large / side), round(span.stop * large / side))
        for span, side, large in zip(spans, page, edited.shape[-2:], strict=True)
    )
    planes = edited[:, rows, columns]
    if before.is_deep and colourful:
        return BYTES.pixels(before.scale.values(planes))[:3]
    mode = "RGB" if colourful or count > 2 else "L"
    if len(edited) == 4 and count in (2, 4):
        mode += "A"
    return _native(before, planes, mode)


def _native(before: Input, planes: Tensor, mode: str) -> Tensor:
    """Pixels [C,h,w] of a model in a mode, of as many bits as the input."""
    if before.is_deep:
        return deep.grey(planes.cpu(), before.scale, before.background)
    return pixels.from_pillow(pixels.convert(pixels.to_pillow(planes), mode, before.background))
