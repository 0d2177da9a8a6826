"""Distances between all rows of two sets of features, a block at a time, in float64."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import doubled

_CELLS = 1 << 22  # of a block: 32 MiB


class Nearest(NamedTuple):
    """The k nearest of other rows: squared distances [n, k], rising, and their places [n, k]."""

    squared: Tensor
    places: Tensor


def nearest(rows: Tensor, others: Tensor, k: int, own: Tensor | None = None) -> Nearest:
    """The k nearest of `others` [m, d] to each of `rows` [n, d].

    own [n]: the places that rows have among the others themselves, which then do not count.
    Distances of the winners are summed anew from differences: they are exact where near 0.
    """
    squared, places = [], []
    others = doubled(others)
    for start, block, far in blocks(rows, others):
        if own is not None:
            mine = own[start : start + len(block)].to(far.device)
            far[torch.arange(len(block), device=far.device), mine] = torch.inf
        place = far.topk(k, largest=False).indices
        exact = torch.stack([(block - others[p]).square().sum(1) for p in place.T], 1)
        exact, order = exact.sort(1)
        squared.append(exact)
        places.append(place.gather(1, order))
    return Nearest(torch.cat(squared), torch.cat(places))


def radii(rows: Tensor, k: int) -> Tensor:
    """Squared distance [n] of each of the rows [n, d] to its k-th nearest among the others."""
    every = torch.arange(len(rows))
    return nearest(rows, rows, k, own=every).squared[:, -1]


def blocks(rows: Tensor, others: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Blocks of rows: the place of the first, the rows [b, d], squared distances [b, m].

    |x|^2 + |y|^2 - 2 x.y about the mean of the others, where least of it cancels.
    """
    if rows.shape[1:] != others.shape[1:]:
        counts = f"{rows.shape[1]} and {others.shape[1]}"
        raise Refusal(f"{counts} features a side: not of one feature network")
    others = doubled(others)
    centre = others.mean(0)
    others = others - centre
    lengths = others.square().sum(1)
    size = max(1, _CELLS // max(1, len(others)))
    for start in range(0, len(rows), size):
        block = doubled(rows[start : start + size]).to(others.device)
        moved = block - centre
        far = torch.addmm(lengths, moved, others.T, alpha=-2)
        far += moved.square().sum(1, keepdim=True)
        yield start, block, far.clamp_(min=0)
