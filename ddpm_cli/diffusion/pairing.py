"""Which noise an image is trained with: any, or of several draws the nearest."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng


def nearest(x0: Tensor, rng: Rng, count: int) -> Tensor:
    """Of `count` unit normals for each image of x0 [B, ...] the one nearest to it: [B, ...].

    Images and noise then mix less on their way, which is learned in fewer steps (Li 2025,
    "Improved Immiscible Diffusion", KNN). Beyond 1 it is no longer exactly normal: it leans
    towards the image and is a little shorter, so bounds of the likelihood know 1 alone.
    """
    if count == 1:
        return rng.normal(x0)
    drawn = rng.normal(x0[:, None].expand(-1, count, *x0.shape[1:]))
    # Without matrix products, each distance depends on its own image alone, to the last bit.
    mode = "donot_use_mm_for_euclid_dist"
    apart = torch.cdist(x0.flatten(1)[:, None], drawn.flatten(2), compute_mode=mode)
    return drawn[torch.arange(len(x0), device=x0.device), apart[:, 0].argmin(1)]
