"""The normal scores of a skewed column: a monotone map that makes its values nearly normal."""

import torch
from torch import Tensor

from ddpm_cli.files.titles import Scores

KNOTS = 200  # of the line, even in scores, so that its parts are short where values are rare too
TAIL = 0.5  # deviations within the ends whose mean slope goes on beyond them
SHARED = 0.01  # of the rows: an extreme value that so many share is an end


def fitted(values: Tensor) -> Scores | None:
    """The scores of the values [N] of a column, gaps left out; None if they are all equal.

    A value has the normal quantile of its rank, (rank - 1/2) / N, equal values that of their mean
    rank (Blom 1958; Hazen's positions), and between the values of KNOTS scores the line is
    straight. Beyond the extremes it goes on as steep as it is on the last TAIL before them, so
    that nothing piles up there; but an extreme that more than SHARED of the rows have is an end
    of the values, and so is zero, where no value has the other sign.
    """
    known = values.double()[~values.isnan()].sort().values
    distinct, counts = torch.unique(known, return_counts=True)
    if len(distinct) < 2:
        return None
    rank = counts.cumsum(0) - counts / 2
    scores = torch.special.ndtri(rank / len(known))
    wanted = torch.linspace(float(scores[0]), float(scores[-1]), KNOTS, dtype=torch.float64)
    chosen = torch.unique(torch.searchsorted(scores, wanted).clamp(max=len(scores) - 1))
    line = torch.stack([distinct[chosen], scores[chosen]])
    low, high = _ends(distinct, counts)
    line = torch.cat([_beyond(line.flip(1), -1), line, _beyond(line, 1)], 1)
    points, at = (tuple(row.tolist()) for row in line)
    return Scores(points, at, low, high)


def _beyond(line: Tensor, side: int) -> Tensor:
    """A point [2, 1] a deviation beyond the last of a line [2, K], as steep as its end."""
    (value, score), gap = line[:, -1], (line[1] - line[1, -1]).abs()
    first = int((gap >= TAIL).nonzero().max()) if bool((gap >= TAIL).any()) else 0
    steep = (value - line[0, first]) / (score - line[1, first])
    return torch.stack([value + side * steep, score + side])[:, None]


def _ends(distinct: Tensor, counts: Tensor) -> tuple[float | None, float | None]:
    """What values never go below and above, if anything, by those there are and how often."""
    least, most = float(distinct[0]), float(distinct[-1])
    low, high = (0.0 if least >= 0 else None), (0.0 if most <= 0 else None)
    is_shared = (counts > SHARED * counts.sum()) & (counts > 1)
    return least if is_shared[0] else low, most if is_shared[-1] else high
