"""Random crops of images, and how far their embeddings are from those of prompts.

Guidance by CLIP in the manner of Crowson 2021 ("CLIP guided diffusion"): pure functions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng

SMALLEST = 0.5  # of the shorter side: a crop that shows less tells little of an image


def great_circle(a: Tensor, b: Tensor) -> Tensor:
    """The squared distance of unit vectors [..., D] on the sphere, halved: 2 asin^2(|a - b| / 2).

    An angle between them of phi gives phi^2 / 2.
    """
    # The slope of asin is infinite at 1, where the vectors are opposite.
    half: Tensor = (torch.linalg.vector_norm(a - b, dim=-1) / 2).clamp(max=1 - 1e-6)
    return 2 * half.asin() ** 2


def colours(x: Tensor) -> Tensor:
    """Images [B, C, H, W] in [-1, 1] as [B, 3, H, W]: grey three times, opacity on white."""
    if x.shape[1] == 4:
        opacity = (x[:, 3:] + 1) / 2
        return x[:, :3] * opacity + 1 - opacity
    return x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x


class Spread(NamedTuple):
    """Numbers for equal parts of a walk down the levels [n + 1], the first for its beginning."""

    levels: Tensor
    numbers: Sequence[int]

    def at(self, sigma: Tensor) -> int:
        """The number of the move that asks at the level sigma []."""
        moves = len(self.levels) - 1
        begun = int((self.levels >= float(sigma) * (1 - 1e-6)).sum()) - 1
        return self.numbers[min(max(begun, 0), moves - 1) * len(self.numbers) // moves]


def crops(x: Tensor, count: int, size: tuple[int, int], rng: Rng, overviews: int = 0) -> Tensor:
    """Square crops of images [B, C, H, W], each image its own: [B * count, C, *size].

    Sides are uniform between half of the shorter side and all of it, places are uniform. The
    crops of an image follow each other, behind its `overviews`, which count among them.
    """
    height, width = x.shape[-2:]
    chances = rng.uniform(3 * (count - overviews)).reshape(len(x), -1, 3).tolist()
    cut = []
    for image, draws in zip(x, chances, strict=True):
        cut += overviewed(image[None], size)[:overviews]
        for scale, down, right in draws:
            side = max(1, round(min(height, width) * (SMALLEST + (1 - SMALLEST) * scale)))
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            crop = image[None, :, top : top + side, left : left + side]
            cut.append(F.interpolate(crop, size, mode="bicubic", antialias=True))
    return torch.cat(cut)


def overviewed(image: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """A whole image [1, C, H, W] four times: plain, mirrored, grey, and grey mirrored.

    As in Crowson's and Letts' Disco Diffusion (2021), which begins with more of these, as only
    they show what an image is of, and ends with more crops, which show its parts. What is not
    square gets margins of middle grey.
    """
    height, width = image.shape[-2:]
    wide, high = max(0, height - width), max(0, width - height)
    square = F.pad(image, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
    plain = F.interpolate(square, size, mode="bicubic", antialias=True)
    grey = plain.mean(1, keepdim=True).expand_as(plain)
    return [plain, plain.flip(-1), grey, grey.flip(-1)]


def similarity(crops: Tensor, prompts: Tensor, weights: Tensor) -> Tensor:
    """Minus the weighted distances of embeddings of crops [B, N, D] from prompts [P, D]: [B].

    -sum_p w_p mean_n 2 asin^2(|crop_n - prompt_p| / 2); weights [P] of either sign.
    """
    distance = great_circle(crops[:, :, None], prompts).mean(dim=1)
    return -(distance @ weights)
