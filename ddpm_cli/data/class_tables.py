"""The classes of a set: their order, and the number of each row's."""

from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.titles import is_number

CLASS_LIMIT = 10000


def numbered(words: Sequence[str], place: object) -> tuple[Tensor, tuple[str, ...]]:
    """The number of each row's class, and the classes: in the order of numbers, or of letters."""
    classes = set(words)
    if len(classes) > CLASS_LIMIT:
        raise Refusal(f"{place}: {len(classes)} classes; at most {CLASS_LIMIT}")
    ordered = in_order(classes)
    places = {word: number for number, word in enumerate(ordered)}
    return torch.tensor([places[word] for word in words]), ordered


def in_order(classes: Collection[str]) -> tuple[str, ...]:
    """The names of classes in the order of numbers, if they all are some, or else of letters.

    The place in it is the number of a class, whether folders, tables or arrays name it.
    """
    as_numbers = all(map(is_number, classes))
    return tuple(sorted(classes, key=lambda word: (float(word) if as_numbers else 0.0, word)))
