"""How images get the size of a feature network: figures by one rule do not fit the others."""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ddpm_cli.errors import importing

OFFSET = 0.1  # that DINOv2 adds to the grid of positions it interpolates to


def tf_bilinear(images: Tensor, side: int) -> Tensor:
    """Pixels uint8 [B, C, H, W] as floats of TensorFlow 1's bilinear resize, [B, C, side, side].

    It neither centres pixels nor smooths what it shrinks; FID's first code did so (Heusel 2017).
    """
    with importing("torch-fidelity", "eval"):
        from torch_fidelity.interpolate_compat_tensorflow import (
            interpolate_bilinear_2d_like_tensorflow1x as resized,
        )
    values: Tensor = resized(images.float(), size=(side, side), align_corners=False)
    return values


def pil_bicubic(images: Tensor, side: int) -> Tensor:
    """Pixels uint8 [B, C, H, W] as floats of Pillow's bicubic resize, [B, C, side, side].

    Each channel by itself in floats, clipped to 0..255 and not rounded (Parmar 2022, clean-fid).
    """
    planes = images.cpu().numpy().astype(np.float32)
    flat = planes.reshape(-1, *planes.shape[2:])
    size, bicubic = (side, side), Image.Resampling.BICUBIC
    resized = [np.asarray(Image.fromarray(plane).resize(size, bicubic)) for plane in flat]
    stacked = np.stack(resized).clip(0, 255).reshape(*planes.shape[:2], side, side)
    return torch.from_numpy(stacked).to(images.device)


def normal(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pixels [B, 3, H, W] from 0 to 255 as a network saw them in training."""
    shift, scale = (pixels.new_tensor(values).reshape(1, 3, 1, 1) for values in (mean, std))
    return (pixels / 255 - shift) / scale


def positions(table: Tensor, side: int) -> Tensor:
    """Embeddings [1, 1 + n n, d] of an image of side x side patches, the class token's first.

    Bicubic without smoothing, to a grid larger by 0.1 than asked for, as DINOv2's own code does.
    """
    grid = round((table.shape[1] - 1) ** 0.5)
    if grid == side:
        return table
    patches = table[:, 1:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / grid
    resized = F.interpolate(patches, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([table[:, :1], resized.flatten(2).transpose(1, 2)], 1)
