"""Random crops of images, and how far their embeddings are from those of prompts.

Guidance by CLIP in the manner of Crowson 2021 ("CLIP guided diffusion"): pure functions.
"""

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


def crops(x: Tensor, count: int, size: tuple[int, int], rng: Rng) -> Tensor:
    """Square crops of images [B, C, H, W], each image its own: [B * count, C, *size].

    Sides are uniform between half of the shorter side and all of it, places are uniform. The
    crops of an image follow each other.
    """
    height, width = x.shape[-2:]
    chances = rng.uniform(3 * count).reshape(len(x), count, 3).tolist()
    cut = []
    for image, draws in zip(x, chances, strict=True):
        for scale, down, right in draws:
            side = max(1, round(min(height, width) * (SMALLEST + (1 - SMALLEST) * scale)))
            top, left = int(down * (height - side + 1)), int(right * (width - side + 1))
            crop = image[None, :, top : top + side, left : left + side]
            cut.append(F.interpolate(crop, size, mode="bicubic", antialias=True))
    return torch.cat(cut)


def similarity(crops: Tensor, prompts: Tensor, weights: Tensor) -> Tensor:
    """Minus the weighted distances of embeddings of crops [B, N, D] from prompts [P, D]: [B].

    -sum_p w_p mean_n 2 asin^2(|crop_n - prompt_p| / 2); weights [P] of either sign.
    """
    distance = great_circle(crops[:, :, None], prompts).mean(dim=1)
    return -(distance @ weights)
