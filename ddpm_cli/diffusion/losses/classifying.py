"""The objective of the classifier that guides diffusion."""

import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.diffusion.classifier import Classifier, seen
from ddpm_cli.diffusion.rng import Rng


def cross_entropy(
    classify: Classifier, x0: Tensor, t: Tensor, rng: Rng, **condition: Tensor
) -> Tensor:
    """Nats that a noisy image leaves open of its class, -log p(y | x_t), of a classifier alone.

    Dhariwal 2021, section 4.
    """
    logits = seen(classify, x0, t, rng)
    return F.cross_entropy(logits, condition["classes"], reduction="none")
