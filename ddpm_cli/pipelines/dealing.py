"""Batches dealt over the processes of a group, and what they make collected by the first.

A batch stays whole, so that the results are those of one process bit for bit.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import torch

from ddpm_cli import console
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group

_Made = TypeVar("_Made")


class Deal(NamedTuple):
    """Which of the seeds `left` this process draws, in how many rounds all are drawn."""

    left: Sequence[int]
    mine: Sequence[int]
    rounds: int

    @classmethod
    def of(cls, left: Sequence[int], size: int, place: Group) -> "Deal":
        """Batches of `size` in turn, each to the next process."""
        stride = size * place.ranks
        rounds = -(-len(left) // stride)
        if 0 < len(left) <= stride - size:
            few, ranks = -(-len(left) // size), place.ranks
            what = f"{few} of {ranks} processes have something to do"
            console.say(f"{what}; a smaller --batch shares it out")
        firsts = range(place.rank * size, len(left), stride)
        return cls(left, [seed for at in firsts for seed in left[at : at + size]], rounds)


def agreed_on(seeds: Sequence[int] | None, place: Group) -> Sequence[int]:
    """The seeds that the first process names; others give None."""
    listed = [seeds]
    torch.distributed.broadcast_object_list(listed, 0)
    return listed[0] or []


def collected(made: Iterator[_Made | None], rounds: int, place: Group) -> Iterator[_Made | None]:
    """What all processes make, in the order of its batches, in the first; nothing in others.

    made: of this process; None, here and there, if any was asked to stop.
    """
    for _ in range(rounds):
        one = list(_next(made))
        if distributed.agreed(place, None in one):
            yield None
            return
        parts: list[Any] | None = [[] for _ in range(place.ranks)] if place.leads else None
        torch.distributed.gather_object(one, parts, dst=0)
        for part in parts or []:
            yield from part


def _next(made: Iterator[_Made]) -> Iterator[_Made]:
    """The next item, if there is one."""
    for one in made:
        yield one
        return
