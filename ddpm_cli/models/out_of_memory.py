"""What is to be done where memory runs out in the middle of the work."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from ddpm_cli.errors import Refusal

_Item = TypeVar("_Item")


class OutOfMemory(Refusal):
    """Memory ran out, and the hint is a command that takes less."""


@contextmanager
def told(what: str, fix: str) -> Iterator[None]:
    """Turn want of memory into a refusal with its fix."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has a type for CUDA and none for the CPU.
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and "DefaultCPUAllocator: can't allocate" not in str(error):
            raise
        raise OutOfMemory(f"{what}: out of memory", fix) from None


def within(items: Iterable[_Item], rows: int) -> Iterator[_Item]:
    """The items of a walk of so many rows at a time."""
    fix = f"the same command with --batch {rows // 2} takes half of it"
    with told(f"--batch {rows}", fix if rows > 1 else "try --device cpu, or a smaller model"):
        yield from items


def accumulating(batch: int, ranks: int, parts: int) -> str:
    """How a run whose batch is computed in so many parts goes on in less memory."""
    images = batch // ranks
    more = next((n for n in range(parts + 1, images + 1) if images % n == 0), None)
    if more is None:
        return "try --device cpu, or a smaller network"
    share = "half of it" if more == 2 * parts else "less of it"
    return f"the same command with --set train.accumulate={more} goes on with {share}"
