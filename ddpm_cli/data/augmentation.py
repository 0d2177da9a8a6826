"""Random changes of the geometry of images, and the labels that tell a network of them.

They do not leak: told that nothing was changed, a network draws what is not (Karras 2022, F.2).
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng

STRETCH = 2**0.2  # a deviation of factors
SLANTED = 0.5  # how often images are stretched along a slanted axis, as the published runs have it
SHIFT = 1 / 8  # a deviation of translations, in sides
# The lowpass filter of the symlet of 6 vanishing moments (Daubechies 1992). It is orthonormal: up
# by 2 and down again is nothing.
SYMLET = (
    0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633,
    0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252,
    -0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148,
)  # fmt: skip
CENTRE = sum(place * tap for place, tap in enumerate(SYMLET)) / sum(SYMLET)
REACH = len(SYMLET) // 2  # pixels beyond an edge that the filter sees
MARGIN = 2 * REACH


class Augmentation:
    """Changes each image of a batch with chances of six changes, see networks.conditions.augment.

    Karras 2022, table 6: x0 is flipped along both axes, scaled, rotated, stretched and moved.
    """

    def __init__(self, chances: Sequence[float]) -> None:
        self._chances = tuple(chances)

    def __call__(self, x0: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> images changed, and the labels [B, 9] of how."""
        labels, matrix = self.drawn(x0, rng)
        flipped = labels[:, :2] > 0
        x0 = torch.where(flipped[:, 0, None, None, None], x0.flip(-1), x0)
        x0 = torch.where(flipped[:, 1, None, None, None], x0.flip(-2), x0)
        moved = (labels[:, 2:] != 0).any(1)[:, None, None, None]
        return torch.where(moved, warped(x0, matrix), x0), labels

    def drawn(self, x0: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """The labels [B, 9] of random changes, and what moves images but for the flips [B, 2, 3].

        The matrix takes (x, y, 1), in pixels from the middle, to where it is in the new image.
        """
        uniform, normal = rng.uniform(11, x0.device), rng.normal(x0.new_zeros(len(x0), 4)).float()
        chances = torch.tensor(self._chances, device=x0.device)
        happens = (uniform[:, :6] < chances).float()
        flips = happens[:, :2] * (uniform[:, 6:8] < 0.5)
        turn, axis = (2 * math.pi * uniform[:, 8:10] - math.pi).unbind(1)
        axis = axis * (uniform[:, 10] < SLANTED)
        scale, turn = normal[:, 0] * happens[:, 2], turn * happens[:, 3]
        stretch = normal[:, 1] * happens[:, 4]
        shift = normal[:, 2:] * happens[:, 5:]
        labels = [*flips.unbind(1), scale, turn.cos() - 1, turn.sin()]
        labels += [stretch * axis.cos(), stretch * axis.sin(), *shift.unbind(1)]
        linear = turned(-turn) @ scaled(STRETCH**scale, STRETCH**scale)
        stretched = scaled(STRETCH**stretch, STRETCH**-stretch)
        linear = turned(-axis) @ stretched @ turned(axis) @ linear
        sides = torch.tensor([x0.shape[3], x0.shape[2]], device=x0.device)
        moves = (SHIFT * shift * sides)[:, :, None]
        return torch.stack(labels, dim=1), torch.cat([linear, moves], dim=2)


def turned(angle: Tensor) -> Tensor:
    """Rotations by angles [B]: [B, 2, 2]."""
    rows = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    return rows.reshape(-1, 2, 2)


def scaled(x: Tensor, y: Tensor) -> Tensor:
    """Factors along both axes [B]: [B, 2, 2]."""
    return torch.diag_embed(torch.stack([x, y], dim=1))


def warped(x0: Tensor, matrix: Tensor) -> Tensor:
    """Images [B, C, H, W] moved by matrices [B, 2, 3], mirrored at their edges.

    Brought to twice the size by a wavelet's filter, moved there bilinearly, and brought back, as
    Karras 2020 ("Training GANs with limited data", appendix B) does it against aliasing.
    """
    height, width = x0.shape[2:]
    fine = enlarged(mirrored(x0))
    to, shift = matrix[:, :, :2], matrix[:, :, 2]
    y, x = (_places(side, x0.device) for side in (height, width))
    middle = torch.tensor([width - 1, height - 1], device=x0.device) / 2
    across, down = x.expand(len(y), -1), y[:, None].expand(-1, len(x))
    there = torch.stack([across, down], dim=-1) - middle
    back = torch.linalg.inv(to.double()).to(there.dtype)
    came = torch.einsum("bij,hwbj->bhwi", back, there[:, :, None] - shift) + middle
    limits = torch.tensor([width - 1, height - 1], device=x0.device)
    is_near = (came >= -REACH) & (came <= limits + REACH)
    inside = torch.where(is_near, came, _reflected(came, limits))
    at = 2 * (inside + MARGIN) + CENTRE
    spans = torch.tensor([fine.shape[3] - 1, fine.shape[2] - 1], device=x0.device)
    grid = (2 * at / spans - 1).to(x0.dtype)
    return shrunk(F.grid_sample(fine, grid, mode="bilinear", align_corners=True))


def mirrored(x0: Tensor) -> Tensor:
    """Images with MARGIN pixels more at each edge, in which they are mirrored."""
    for axis in (2, 3):
        side = x0.shape[axis]
        places = torch.arange(-MARGIN, side + MARGIN, device=x0.device)
        inside = _reflected(places, torch.tensor(side - 1, device=x0.device))
        x0 = x0.index_select(axis, inside.long())
    return x0


def enlarged(x: Tensor) -> Tensor:
    """Images of H pixels a side as 2 H + 10: pixel n lies at (n - CENTRE) / 2 of them."""
    for weight, stride in _filters(x, 2**0.5):
        x = F.conv_transpose2d(x, weight, stride=stride, groups=len(weight))
    return x


def shrunk(x: Tensor) -> Tensor:
    """The opposite of `enlarged`: images of 2 H + 10 pixels a side as H."""
    for weight, stride in _filters(x, 2**-0.5):
        x = F.conv2d(x, weight, stride=stride, groups=len(weight))
    return x


def _filters(x: Tensor, gain: float) -> list[tuple[Tensor, tuple[int, int]]]:
    """The filter of each axis for all channels of x, and its stride."""
    taps = gain * torch.tensor(SYMLET, dtype=x.dtype, device=x.device)
    down = taps[None, None, :, None].expand(x.shape[1], 1, -1, -1)
    return [(down, (2, 1)), (down.transpose(2, 3), (1, 2))]


def _places(side: int, device: torch.device) -> Tensor:
    """Where the pixels of an enlarged side lie in that of so many pixels."""
    count = 2 * side + len(SYMLET) - 2
    return (torch.arange(count, dtype=torch.float32, device=device) - CENTRE) / 2


def _reflected(places: Tensor, last: Tensor) -> Tensor:
    """Places brought into 0 to `last` by mirrors at both."""
    period = (2 * last).clamp(min=1)
    inside = places.remainder(period)
    return torch.minimum(inside, period - inside).clamp(max=last)
