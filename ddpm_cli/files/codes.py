"""What a network sees of the columns of a table, and back: scores of numbers, codes of words.

Values are [B, C], one for each column, of a category its number among the words; codes are [B, D],
of a category one value for each word (1 at its own, 0 elsewhere) or for each bit of its number (0
or 1). NaN is a cell that is missing, and then all of its codes are. A code is normalized after
that, by the mean and deviation that the header holds.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from ddpm_cli.files.titles import Scores, Titles, width
from ddpm_cli.settings.knobs import Encode

Numbers = tuple[float, ...] | None


def normalized(values: Tensor, mean: Numbers, std: Numbers, titles: Titles | None) -> Tensor:
    """What a network sees of values [B, ...], as float64; images have neither mean nor std."""
    if mean is None or std is None:
        return values.double()
    codes = values.double() if titles is None else coded(values, titles)
    return (codes - _wide(mean, codes)) / _wide(std, codes)


def restored(x: Tensor, mean: Numbers, std: Numbers, titles: Titles | None) -> Tensor:
    """The values, on the CPU, that `normalized` made x [B, ...] of."""
    x = x.detach().cpu()
    if mean is None or std is None:
        return x
    codes = x.double() * _wide(std, x) + _wide(mean, x)
    return codes if titles is None else decoded(codes, titles)


def units(x: Tensor, mean: Numbers, std: Numbers, titles: Titles | None) -> Tensor:
    """Codes [B, D] of what a network sees, in float64 and with slopes: numbers in their units.

    Those of words stay codes: nearly 1 at the word that is meant.
    """
    if mean is None or std is None:
        return x
    codes = x.double() * _wide(std, x).to(x.device) + _wide(mean, x).to(x.device)
    if titles is None or not titles.scores:
        return codes
    parts = [
        _unscored(part[:, 0], titles.scored(column))[:, None] if part.shape[1] == 1 else part
        for column, part in _columns(codes, titles)
    ]
    return torch.cat(parts, 1)


def log_determinant(values: Tensor, std: Numbers, titles: Titles | None) -> Tensor:
    """log |d normalized / d values| in nats [B]; codes of categories are values of their own."""
    nats = -math.prod(values.shape[2:]) * sum(map(math.log, std or ()))
    slopes = torch.zeros(len(values), dtype=torch.float64)
    return nats + (slopes if titles is None else log_slopes(values, titles))


def _wide(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    """One number for each index of axis 1 of a tensor."""
    return torch.tensor(numbers, dtype=torch.float64).reshape(-1, *[1] * (like.ndim - 2))


def coded(values: Tensor, titles: Titles) -> Tensor:
    """Codes [B, D] of values [B, C], as float64."""
    if not titles.is_typed:
        return values.double()
    parts = []
    for column, cells in enumerate(values.double().unbind(1)):
        if words := titles.words(column):
            parts.append(_of_numbers(cells, len(words), titles.encode))
        else:
            parts.append(scored(cells, titles.scored(column))[:, None])
    return torch.cat(parts, 1)


def decoded(codes: Tensor, titles: Titles) -> Tensor:
    """Values [B, C] that codes [B, D] stand for: of a category the nearest one."""
    if not titles.is_typed:
        return codes.double()
    values = []
    for column, part in _columns(codes.double(), titles):
        if words := titles.words(column):
            values.append(_numbers(part, len(words), titles.encode))
        else:
            values.append(_unscored(part[:, 0], titles.scored(column)))
    return torch.stack(values, 1)


def log_slopes(values: Tensor, titles: Titles) -> Tensor:
    """Sum over the columns of numbers of log d code / d value, in nats [B], at values [B, C]."""
    total = torch.zeros(len(values), dtype=torch.float64)
    for column, cells in enumerate(values.double().unbind(1)):
        if (scores := titles.scored(column)) is not None:
            total += _part(cells, scores)[2].log()
    return total


def scored(values: Tensor, scores: Scores | None) -> Tensor:
    """Scores of the numbers of a column; the numbers themselves if it has none."""
    if scores is None:
        return values
    value, score, slope = _part(values, scores)
    return score + (values - value) * slope


def _unscored(codes: Tensor, scores: Scores | None) -> Tensor:
    """The numbers of a column that scores stand for, none beyond its ends."""
    if scores is None:
        return codes
    score, value, slope = _part(codes, scores._replace(values=scores.scores, scores=scores.values))
    low, high = scores.low, scores.high
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return (value + (codes - score) * slope).clamp(*ends)


def _part(values: Tensor, scores: Scores) -> tuple[Tensor, Tensor, Tensor]:
    """Where the straight part begins that each value lies on, its score there, and its slope."""
    knots = torch.tensor([scores.values, scores.scores], dtype=torch.float64)
    first = torch.searchsorted(knots[0], values.contiguous()).clamp(1, knots.shape[1] - 1) - 1
    start, end = knots[:, first], knots[:, first + 1]
    return start[0], start[1], (end[1] - start[1]) / (end[0] - start[0])


def _columns(codes: Tensor, titles: Titles) -> Iterator[tuple[int, Tensor]]:
    """The codes [B, ...] of each column."""
    yield from enumerate(torch.split(codes, titles.widths, 1))


def _of_numbers(numbers: Tensor, count: int, encode: Encode) -> Tensor:
    """Codes [B, d] of the numbers of categories; NaN stays."""
    places = torch.arange(width(count, encode))
    known = numbers.nan_to_num().long()[:, None]
    code = known == places if encode == "onehot" else known >> places & 1
    return torch.where(numbers.isnan()[:, None], torch.nan, code.double())


def _numbers(codes: Tensor, count: int, encode: Encode) -> Tensor:
    """The categories nearest to codes [B, d]; NaN stays."""
    if encode == "onehot":
        nearest = codes.argmax(1)
    else:  # bits of no category stand for the one that is nearest among those there are
        every = _of_numbers(torch.arange(count), count, encode)
        nearest = torch.cdist(codes.nan_to_num(), every).argmin(1)
    return torch.where(codes.isnan().any(1), torch.nan, nearest.double())
