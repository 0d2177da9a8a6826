"""How an image was changed in training, told to the network so that nothing of it is drawn."""

import torch
from torch import Tensor, nn

from ddpm_cli.networks.conditions import Seen
from ddpm_cli.networks.parts.embeddings import as_exact
from ddpm_cli.settings.knobs import Fraction, NonNegative

LABELS = 9  # a flip along each axis, scale, rotation 2, anisotropy 2, translation 2


class augment:  # noqa: N801  (a table is named as it is called in a config)
    """Non-leaking augmentation of images, of which the network is told (Karras 2022, F.2).

    p: how often each change is made, times what follows; xflip, yflip: mirror half of the images;
    scale, rotate, anisotropy, translate: by random factors, angles, stretches and parts of the
    side. Samples are of what is not changed.
    """

    tokens = 0
    drop = drop_each = 0.0

    def __init__(
        self,
        *,
        p: Fraction = 0.12,
        xflip: NonNegative = 1e8,
        yflip: NonNegative = 1.0,
        scale: NonNegative = 1.0,
        rotate: NonNegative = 1.0,
        anisotropy: NonNegative = 1.0,
        translate: NonNegative = 1.0,
    ) -> None:
        self.null = torch.zeros(LABELS, device="cpu")
        often = (xflip, yflip, scale, rotate, anisotropy, translate)
        self.chances = tuple(min(1.0, p * times) for times in often)

    def module(self, width: int) -> nn.Module:
        """The part of a network that reads it: features of this width are added to others."""
        return Changes(width)


class Changes(nn.Module):
    """Labels [B, 9] -> features [B, F], of which nothing changed has none: there is no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Linear(LABELS, width, bias=False)

    def forward(self, rows: Tensor) -> Seen:
        """Labels [B, 9] of how images were changed -> Seen with features."""
        weight = self.project.weight
        return Seen(features=self.project(as_exact(rows, weight).to(weight.dtype)))
