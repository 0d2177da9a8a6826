"""How close an image is to another."""

import torch
from torch import Tensor


def psnr(images: Tensor, wanted: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each image [B, ...] with values in [-1, 1], in dB: [B].

    10 log10(4 / mean squared difference), infinite for equal images.
    """
    difference = (images.double() - wanted.double()).flatten(1)
    return 10 * torch.log10(4 / difference.square().mean(1))
