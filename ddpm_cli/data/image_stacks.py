"""Images of one size in an array: which axes are what, and each of them as pixels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.image_set import COLOURS
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.pixels import to_pillow, to_uint8

SEEN = 64  # rows of floats that are looked at before all are read
SLACK = 1e-4  # how far floats may leave [-1, 1]
FORM = "images are uint8, or floats in [-1, 1], [N, H, W], [N, C, H, W] or [N, H, W, C]"


class Stack:
    """The images of an array [N, ...], uint8 or floats in [-1, 1], one by one.

    is_last: colours are the last axis, where both could be.
    """

    def __init__(self, path: Path, array: Any, is_last: bool = False) -> None:
        """Tell the axes apart; what can be no images is refused."""
        self.path, self.array = path, array
        if array.dtype != np.uint8 and array.dtype.kind != "f":
            raise Refusal(f"{path}: values of type {array.dtype}", FORM)
        if array.ndim not in (3, 4) or 0 in array.shape:
            shown = "x".join(map(str, array.shape))
            raise Refusal(f"{path}: an array of {shown or 'one value'}", FORM)
        row = tuple(map(int, array.shape[1:]))
        self._is_last = len(row) == 3 and row[2] in COLOURS and (is_last or row[0] not in COLOURS)
        if len(row) == 3 and not self._is_last and row[0] not in COLOURS:
            raise Refusal(f"{path}: images of {'x'.join(map(str, row))} values", FORM)
        colours, *sides = (1, *row) if len(row) == 2 else row
        if self._is_last:
            *sides, colours = row
        self.shape: tuple[int, int, int] = (colours, sides[0], sides[1])
        if array.dtype.kind == "f":
            _warn_of_unsigned(path, array)

    def __len__(self) -> int:
        return len(self.array)

    def __call__(self, index: int) -> tuple[Tensor, int]:
        """Image number `index` as pixels [C,H,W], and the number."""
        row = torch.from_numpy(np.array(self.array[index]))
        row = row.permute(2, 0, 1) if self._is_last else row.reshape(self.shape)
        return (row if row.dtype == torch.uint8 else self._bytes(row.float(), index)), index

    def rows(self, numbers: Tensor) -> Tensor:
        """Some of the images at once, as pixels [B,C,H,W]."""
        if self.array.dtype != np.uint8:
            return torch.stack([self(int(number))[0] for number in numbers])
        rows = torch.from_numpy(np.asarray(self.array[numbers.numpy()]))
        rows = rows.permute(0, 3, 1, 2) if self._is_last else rows.reshape(-1, *self.shape)
        return rows.contiguous()

    def png(self, index: int) -> io.BytesIO:
        """Image number `index` as a file."""
        return png(to_pillow(self(index)[0]))

    def _bytes(self, row: Tensor, index: int) -> Tensor:
        low, high = (float(bound) for bound in row.aminmax())
        if not -1 - SLACK <= low <= high <= 1 + SLACK:
            what = f"image {index}: values from {low:.3g} to {high:.3g}"
            raise Refusal(f"{self.path}: {what}", FORM)
        return to_uint8(row)


def png(image: Image.Image) -> io.BytesIO:
    """An image as a file, quickly and at its full length."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=0)
    stream.seek(0)
    return stream


def _warn_of_unsigned(path: Path, array: Any) -> None:
    """Warn of floats that are in [0, 1], as other tools keep images, by a look at some rows."""
    count = min(len(array), SEEN)
    least = min(float(np.min(array[row * len(array) // count])) for row in range(count))
    if least >= 0:
        what = "floats of images are in [-1, 1], and none is below 0"
        console.warn(f"{path}: {what}; images in [0, 1] need 2 * x - 1")
