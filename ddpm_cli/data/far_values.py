"""Values of rows so far from all that training saw that a network computes nothing of use."""

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.quantities import FAR


def first(values: Tensor, info: DataInfo) -> tuple[int, ...] | None:
    """Row and place of the first value of rows [N, ...] that is far; None where none is.

    Far is what is told of numbers, too: more than FAR deviations from the mean, of normal scores
    if a network sees these.
    """
    if (odd := _no_category(values, info)) is not None:
        return odd
    far = ~(info.normalized(values).abs() <= FAR) & ~info.normalized(values).isnan()
    found = far.nonzero()
    if not len(found):
        return None
    row, place, *rest = found[0].tolist()
    if info.titles is not None and info.titles.is_typed:  # of a category several values
        ends = torch.tensor(info.titles.widths).cumsum(0)
        place = int((ends <= place).sum())
    return row, place, *rest


def _no_category(values: Tensor, info: DataInfo) -> tuple[int, int] | None:
    """Row and column of the first number that stands for none of the words of its column."""
    if info.titles is None or values.ndim != 2:
        return None
    for column, words in enumerate(info.titles.categories):
        numbers = values[:, column]
        is_none = (numbers != numbers.floor()) | (numbers < 0) | (numbers >= len(words))
        odd = is_none & ~numbers.isnan()
        if words and bool(odd.any()):
            return int(odd.nonzero()[0]), column
    return None


def refusal(where: str, place: tuple[int, ...], value: float, info: DataInfo) -> Refusal:
    """The refusal of a value at a place of a row; where: what messages call the row."""
    one = len(info.row) == 1
    called = f"column {info.columns.names[place[0]]}" if one else f"value {place}"
    fix = "correct it, or leave it empty, to be drawn by ddpm inpaint"
    if words := _words(place[0], info):
        return Refusal(f"{where}, {called}: {value:g} stands for no word of {words}", fix)
    return Refusal(f"{where}, {called}: {value:g} is far from {_seen(place[0], info)}", fix)


def _words(column: int, info: DataInfo) -> str:
    """The numbers and words of a column of categories, the first few; nothing of another one."""
    known = info.titles.words(column) if info.titles else ()
    first = ", ".join(f"{number} {word}" for number, word in enumerate(known[:5]))
    return first + ", ..." * (len(known) > 5)


def _seen(column: int, info: DataInfo) -> str:
    """What training saw of a column, or of an index of the first axis."""
    if info.titles is not None and info.titles.is_typed:
        if scores := info.titles.scored(column):
            return f"what training saw, {scores.values[0]:g} to {scores.values[-1]:g}"
        column = sum(info.titles.widths[:column])
    if info.mean is None or info.std is None:
        return "what training saw"
    return f"what training saw, {info.mean[column]:g} with deviation {info.std[column]:g}"
