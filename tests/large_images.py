"""Images larger than the models of digits."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli.files.images.pixels import encode_png, from_uint8, open_image


def stroke(shape: Sequence[int]) -> Tensor:
    """A stroke uint8 [1, H, W] through all windows of an image, which is kept in wide.png."""
    plane = torch.zeros(tuple(shape), dtype=torch.uint8)
    plane[:, 12:15, 4:38], plane[:, 4:24, 10:13], plane[:, 4:24, 30:33] = 255, 200, 200
    Path("wide.png").write_bytes(encode_png(plane))
    return plane


def values(path: str) -> Tensor:
    """The values [1, 1, H, W] of a grey picture."""
    return from_uint8(open_image(Path(path), "L"))[None].double()
