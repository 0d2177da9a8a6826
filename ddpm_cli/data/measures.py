"""What can be measured of images of ink on an empty ground: numbers that a network is told."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ddpm_cli.data import told_values
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.told_values import Numbers

BLOCK = 8192  # images at a time
LEAST = 1e-6  # ink, so that nothing is divided by none


def ink(images: Tensor) -> Tensor:
    """The mean of images [B, 1, H, W] in [0, 1]: [B]."""
    return images.flatten(1).mean(1)


def slant(images: Tensor) -> Tensor:
    """Degrees by which what is drawn leans to the right: [B].

    Of the shear that its second moments have, atan(-cov(x, y) / var(y)), y pointing down.
    """
    height, width = images.shape[2:]
    y = torch.arange(height).to(images)[:, None].expand(height, width) - height / 2
    x = torch.arange(width).to(images).expand(height, width) - width / 2
    powers = torch.stack([torch.ones_like(x), x, y, x * y, y * y]).flatten(1)
    mass, *sums = (images.flatten(1) @ powers.T).unbind(1)
    x, y, both, square = (moment / mass.clamp(min=LEAST) for moment in sums)
    return torch.rad2deg(torch.atan2(x * y - both, (square - y * y).clamp(min=LEAST)))


def thickness(images: Tensor) -> Tensor:
    """The mean width of strokes in pixels: twice their area by the length of their edges, [B].

    That length is the total variation of the image, which is 0 around it.
    """
    wide = torch.nn.functional.pad(images[:, 0], (1, 1, 1, 1))
    across, down = wide.diff(dim=2)[:, :-1], wide.diff(dim=1)[:, :, :-1]
    edges = torch.hypot(across, down).sum((1, 2))
    return 2 * images.sum((1, 2, 3)) / edges.clamp(min=LEAST)


MEASURES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "ink": ink,
    "slant": slant,
    "thickness": thickness,
}


def numbers(data: ImageSet, wanted: Sequence[str]) -> Numbers:
    """What is measured of all images of a grey set, by the names of the measures."""
    for name in told_values.checked(wanted):
        if name not in MEASURES:
            raise told_values.unknown(name, [*MEASURES], "what is measured")
    rows = []
    for first in range(0, len(data), BLOCK):
        images = data[torch.arange(first, min(first + BLOCK, len(data)))][0].float() / 255
        rows.append(torch.stack([MEASURES[name](images) for name in wanted], dim=1))
    return Numbers(tuple(wanted), torch.cat(rows).double(), "the images")
