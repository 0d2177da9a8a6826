"""Which states of a walk to look at, where they differ from each other."""

import torch
from torch import Tensor

# Data of deviation 1 are as good as there below the lower level, and gone above the higher one;
# images are gone later, as their pixels are alike.
LOW, HIGH, OF_IMAGES = 0.05, 2.0, 6.0
_STEP = 1e-6  # what a move counts where nothing happens


def milestones(levels: Tensor, count: int, high: float = HIGH) -> list[int]:
    """The places of `count` states of a walk along levels [n + 1], evenly in log-SNR.

    The first and the last are among them, and no place is twice. How far a walk has come is the
    change of log sigma between the levels where something happens, LOW and high; moves beyond
    these, or on one level, are counted among themselves.
    """
    levels = levels.double()
    lowest = levels[levels > 0].min()  # where a walk on one level ends is a move like the others
    moved = levels.clamp(min=lowest).clamp(LOW, high).log().diff().abs() + _STEP
    way = torch.cat([moved.new_zeros(1), moved.cumsum(0)])
    last = len(levels) - 1
    count = min(count, last + 1)
    wanted = torch.linspace(0, float(way[-1]), count, dtype=way.dtype)
    places, before = [], -1
    for number, target in enumerate(wanted):
        nearest = int((way - target).abs().argmin())
        nearest = min(max(nearest, before + 1), last - (count - 1 - number))
        places.append(nearest)
        before = nearest
    return places
