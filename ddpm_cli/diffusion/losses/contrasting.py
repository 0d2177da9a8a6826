"""The objective of the network that tells which text belongs to which noisy image."""

from typing import cast

import torch
from torch import Tensor

from ddpm_cli.diffusion.classifier import Classifier, seen
from ddpm_cli.diffusion.contrast import Towers, symmetric
from ddpm_cli.diffusion.cutouts import crops as cut
from ddpm_cli.diffusion.rng import Rng


def contrastive(
    classify: Classifier,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    *,
    crops: bool = False,
    **condition: Tensor,
) -> Tensor:
    """Nats that an image of the batch leaves open of its text, and a text of its image, halved.

    With s_ij = scale a_i . b_j of images i and texts j, each is that of the softmax over all
    texts, or images, of the part of the batch (Radford 2021, figure 3).  Equal texts are no
    negatives of each other, and images without a text count for nothing.
    crops: images are seen by a random square, as cutouts of guidance are.
    """
    if crops:
        height, width = x0.shape[-2:]
        x0 = cut(x0, 1, (height, width), rng)
    images, rows = seen(classify, x0, t, rng), condition["text"]
    towers = cast(Towers, classify.network)
    texts = towers.read(rows)
    with torch.autocast(x0.device.type, enabled=False):
        return symmetric(towers.scale * images.float() @ texts.float().T, rows)
