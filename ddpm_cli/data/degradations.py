"""What makes a small, poor image of a large one: resizing, blur, noise and JPEG.

Functions of images [B, C, H, W] in [-1, 1]; an image's result does not depend on its batch-mates.
"""

import io
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.files.images.pixels import from_pillow, from_uint8, to_pillow, to_uint8

Filter = Literal["bicubic", "area"]
Kind = Literal["none", "blur", "bsr"]

BLUR = 1.2  # pixels of the small image: the widest blur that `degrade` draws
NOISE = (2 / 127.5, 25 / 127.5)  # levels of noise that it draws, of images in [-1, 1]
QUALITY = (30, 95)  # and qualities of JPEG; all three are those of Zhang 2021 at factor 2
LUMA = (0.299, 0.587, 0.114)  # of ITU-R BT.601: what red, green and blue become in grey
_FILTERS: tuple[Filter, ...] = ("bicubic", "area")
_CHANCES = 12  # uniform numbers that a BSR degradation of an image takes


def small(height: int, width: int, factor: float) -> tuple[int, int]:
    """The size of an image that is `factor` times smaller along both axes, at least a pixel."""
    if not factor >= 1:
        raise ValueError(f"a factor of {factor:g} would not make an image smaller; at least 1")
    return max(1, round(height / factor)), max(1, round(width / factor))


def resize(
    x: Tensor, size: tuple[int, int], filter: Filter | Literal["bilinear"] = "bicubic"
) -> Tensor:
    """Images [B, C, *size]: antialiased bicubic (a = -1/2), or the mean of the area of a pixel.

    bilinear: between the nearest pixels, for larger images. Linear in x, and each axis by itself.
    Bicubic weights may be negative: the result may leave the range of x a little.
    """
    if tuple(x.shape[-2:]) == size:
        return x
    if filter == "area":
        return F.interpolate(x, size, mode="area")
    if filter == "bilinear":
        return F.interpolate(x, size, mode="bilinear")
    return F.interpolate(x, size, mode="bicubic", antialias=True)


def shrink(x: Tensor, factor: float, filter: Filter = "bicubic") -> Tensor:
    """Images that are `factor` times smaller along both axes, their sides rounded."""
    height, width = x.shape[-2:]
    return resize(x, small(height, width, factor), filter)


def enlarge(
    x: Tensor, size: tuple[int, int], filter: Filter | Literal["bilinear"] = "bicubic"
) -> Tensor:
    """Small images brought to the size of the large one, for a network that sees both."""
    if size[0] < x.shape[-2] or size[1] < x.shape[-1]:
        raise ValueError(f"{_shown(x)} pixels are no smaller than {size[1]}x{size[0]}")
    return resize(x, size, filter)


def gaussian(size: int, sigma: Tensor) -> Tensor:
    """The matrices [B, size, size] that blur an axis with deviations sigma [B], in pixels.

    Weights are exp(-(i - j)^2 / (2 sigma^2)), and 1 in sum: what is outside has no weight.
    """
    place = torch.arange(size, dtype=sigma.dtype, device=sigma.device)
    distance = (place[:, None] - place) ** 2
    # The floor makes sigma 0 the identity, without a division by 0.
    power = -distance / (2 * column(sigma, sigma.new_empty(len(sigma), 1, 1)) ** 2).clamp(1e-6)
    return power.softmax(dim=-1)


def blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur, the deviation of each image in sigma [B], in pixels."""
    sigma = sigma.to(x)
    rows, columns = (gaussian(size, sigma) for size in x.shape[-2:])
    return torch.einsum("bih,bchw,bjw->bcij", rows, x, columns)


def noise(x: Tensor, level: Tensor, rng: Rng) -> Tensor:
    """Add Gaussian noise, the deviation of each image in level [B]."""
    return x + column(level, x) * rng.normal(x)


def jpeg(x: Tensor, quality: Tensor) -> Tensor:
    """Save and load each image as JPEG, with its own quality [B] of 1 to 100.

    Values are rounded to 8 bits; of four channels the last one, opacity, is kept as it is.
    """
    if x.shape[1] not in (1, 3, 4):
        raise ValueError(f"no JPEG has {x.shape[1]} channels; it takes 1, 3 or 4")
    saved = x.clone()
    for row, image, number in zip(saved, to_uint8(x).cpu(), quality.tolist(), strict=True):
        colours = image[:3]
        buffer = io.BytesIO()
        to_pillow(colours).save(buffer, "JPEG", quality=int(number))
        row[: len(colours)] = from_uint8(from_pillow(Image.open(buffer))).to(x)
    return saved


def grey(x: Tensor) -> Tensor:
    """Images in grey, as many channels as before: 0.299 R + 0.587 G + 0.114 B, opacity kept."""
    if x.shape[1] < len(LUMA):
        return x
    weights = torch.tensor(LUMA).to(x)
    luma = torch.einsum("bchw,c->bhw", x[:, : len(LUMA)], weights)[:, None]
    return torch.cat([luma.expand(-1, len(LUMA), -1, -1), x[:, len(LUMA) :]], dim=1)


def degrade(x: Tensor, factor: float, kind: Kind, rng: Rng, filter: Filter = "bicubic") -> Tensor:
    """Images in [-1, 1] that are `factor` times smaller, as a camera or the web would make them.

    none: the filter alone. blur: Gaussian blur of random width before it (Ho 2022, section 4.2).
    bsr: blur, resizing, noise and JPEG in random order (Zhang 2021), each image its own.
    """
    if kind == "bsr":
        return _bsr(x, factor, rng)
    if kind == "blur":
        x = blur(x, BLUR * factor * rng.uniform(1, x.device)[:, 0])
    return shrink(x, factor, filter).clamp(-1, 1)


def _bsr(x: Tensor, factor: float, rng: Rng) -> Tensor:
    """Degrade image after image, as each has its own order and sizes on the way."""
    chances, normals = rng.uniform(_CHANCES), rng.normal(x)
    rows = [
        _bsr_one(x[row : row + 1], factor, chances[row], normals[row : row + 1])
        for row in range(len(x))
    ]
    return torch.cat(rows).clamp(-1, 1)


def _bsr_one(x: Tensor, factor: float, chance: Tensor, normal: Tensor) -> Tensor:
    """Degrade one image [1, C, H, W] with uniform numbers [12] and normals like x.

    It is blurred twice; what is done before the resizing is done on the large image, where the
    blur is as many times wider. JPEG has the last word, as in Zhang 2021.
    """
    order = chance[:5].argsort().tolist()
    size = small(x.shape[-2], x.shape[-1], factor)
    for operation in order:
        scale = x.shape[-2] / size[0]
        if operation <= 1:
            x = blur(x, BLUR * scale * chance[5 + operation : 6 + operation])
        elif operation == 2:
            x = _indirect(x, size, chance[7:9])
        elif operation == 3:
            level = NOISE[0] + (NOISE[1] - NOISE[0]) * float(chance[9])
            x = x + level * normal[..., : x.shape[-2], : x.shape[-1]]
        else:
            x = jpeg(x, _quality(chance[10:11]))
    return jpeg(x, _quality(chance[11:12]))


def _indirect(x: Tensor, size: tuple[int, int], chance: Tensor) -> Tensor:
    """Resize to `size` by way of a random size between, each time with a random filter."""
    share = float(chance[0])
    between = [round(a + (b - a) * share) for a, b in zip(x.shape[-2:], size, strict=True)]
    first, second = divmod(int(float(chance[1]) * 4), 2)
    x = resize(x, (between[0], between[1]), _FILTERS[first])
    return resize(x, size, _FILTERS[second])


def _quality(chance: Tensor) -> Tensor:
    low, high = QUALITY
    return low + ((high - low + 1) * chance).floor()


def _shown(x: Tensor) -> str:
    return f"{x.shape[-1]}x{x.shape[-2]}"
