"""Whether the text that an image was drawn from is found again among others, by unit vectors."""

import torch
from torch import Tensor

FEW = 5


def ranks(images: Tensor, texts: Tensor, own: Tensor) -> Tensor:
    """The place of each image's own text among all, by nearness, 1 being the nearest: float64 [N].

    images [N, D], texts [K, D], own [N]: numbers of texts.  Texts as near as its own share their
    places, so that a judge of no opinion gives (K + 1) / 2.
    """
    scores = images.double() @ texts.double().T
    right = scores[torch.arange(len(scores)), own][:, None]
    nearer, equal = (scores > right).sum(1), torch.eq(scores, right).sum(1)
    return 1 + nearer + (equal - 1) / 2.0


def summarized(found: Tensor, count: int) -> dict[str, float]:
    """Shares of ranks [N] among `count` texts that are first, or of the first five; their mean.

    error: the standard error of the share that is first.
    """
    first = (found <= 1).double()
    return {
        "first": float(first.mean()),
        "error": float((first.mean() * (1 - first.mean()) / len(first)) ** 0.5),
        "few": float((found <= FEW).double().mean()),
        "mean_rank": float(found.mean()),
        "median_rank": float(found.median()),
        "texts": count,
    }
