"""What a conditional model is trained for: how its conditioning image comes from a clean one."""

from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli.data.masks import random_known
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.knobs import NonNegative


class Task(Protocol):
    """Makes the image [B, channels, H, W] that a network sees beside the noisy one."""

    channels: int

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """The conditioning image of clean images x0 [B, C, H, W] in training."""


class inpaint:  # noqa: N801  (a component is named as it is called in a config)
    """Fill holes: the network sees the known pixels, mid-grey elsewhere, and where they are.

    boxes, strokes, sides: how often each kind of hole is drawn, in proportion to the others
    (Nichol 2022, section 2.3; Saharia 2022, Palette).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        boxes: NonNegative = 2.0,
        strokes: NonNegative = 1.0,
        sides: NonNegative = 1.0,
    ) -> None:
        self.channels = shape[0] + 1
        self._weights = {"boxes": boxes, "strokes": strokes, "sides": sides}

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """Clean images x0 [B, C, H, W] with random holes."""
        height, width = x0.shape[-2:]
        known = random_known(len(x0), (height, width), rng, **self._weights)
        return self.given(x0, known.to(x0.device))

    def given(self, images: Tensor, known: Tensor) -> Tensor:
        """Images [B, C, H, W] of which `known` [B, 1, H, W], 1 or 0, says which pixels count."""
        known = known.to(images.dtype)
        return torch.cat([images * known, known], dim=1)
