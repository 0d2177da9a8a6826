"""How near images and texts are that belong together, among all that are compared."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class Towers(Protocol):
    """What a network tells of texts, beside the unit vectors of images."""

    @property
    def scale(self) -> Tensor:
        """What similarities are multiplied by."""

    def read(self, rows: Tensor) -> Tensor:
        """Texts [P, ...] -> unit vectors [P, D]."""


def symmetric(scores: Tensor, rows: Tensor) -> Tensor:
    """The loss [B] of scores [B, B] of images and texts, whose rows [B, ...] tell which are equal.

    Rows of nothing but -1, or NaN, are no texts.
    """
    flat = rows.flatten(1)
    flat = flat.nan_to_num(-1.0) if flat.is_floating_point() else flat
    missing = torch.eq(flat, -1).all(1)
    number = torch.unique(flat, dim=0, return_inverse=True)[1]
    target = torch.arange(len(scores), device=scores.device)
    out = torch.eq(number[:, None], number) | missing | missing[:, None]
    out[target, target] = False
    scores = scores.masked_fill(out, -torch.inf)
    of_texts = F.cross_entropy(scores, target, reduction="none")
    of_images = F.cross_entropy(scores.T, target, reduction="none")
    return (of_texts + of_images) / 2 * ~missing
