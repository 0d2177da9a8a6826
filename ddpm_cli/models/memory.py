"""Whether a batch fits into memory, told before anything of it is made."""

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ddpm_cli import hardware
from ddpm_cli.errors import Refusal
from ddpm_cli.models import build, kinds
from ddpm_cli.models.model import Model

LARGE = 2**20  # numbers in a batch from which on it is looked at
TEMPORARY = 2  # times the outputs of modules: what they make within themselves
STATES = 6  # of a walk that are there at a time: x, x0, eps, noise, and those before
SHARE = 0.7  # of what is free that a batch may well take
GB = 1e9


@contextmanager
def watched(*, are_kept: bool = False) -> Iterator[list[int]]:
    """The bytes of all outputs of modules that are still in use, after each module that is run.

    are_kept: all of them stay in use, as for gradients.
    """
    held, seen = list[tuple[weakref.ref[Tensor], int]](), [0]

    def note(module: nn.Module, given: object, made: object) -> None:
        if not isinstance(made, Tensor):
            return
        if are_kept:
            seen.append(seen[-1] + made.nbytes)
            return
        held[:] = [entry for entry in held if entry[0]() is not None]
        held.append((weakref.ref(made), made.nbytes))
        seen.append(sum(size for _, size in held))

    handle = register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def row_bytes(model: Model) -> int:
    """The bytes that each row of a batch takes on a walk, as one call of the network shows."""
    conditions = build.unsaid(model.config, model.info)
    conditions |= kinds.drawn(model.config, [0], model.randomness)
    x = model.placed(torch.zeros(1, *model.info.shape))
    states = STATES * x.nbytes
    if model.compute.compile:  # a first call would take minutes
        return states
    top = model.prepared().levels[0]
    with torch.no_grad(), watched() as seen:
        model.bound(conditions)(x, top)
    return states + TEMPORARY * max(seen)


def refuse_large(model: Model, rows: int) -> None:
    """Refuse a walk of so many rows at a time that does not fit, with a number that does."""
    if rows * math.prod(model.info.shape) >= LARGE:
        refuse("--batch", rows, row_bytes(model), model.compute.device)


def refuse(key: str, rows: int, each: int, device: torch.device) -> None:
    """Refuse so many rows, as `key` says, of so many bytes each, where they do not fit."""
    free = hardware.free_memory(device)
    if free is None or rows * each <= free:
        return
    fitting = int(SHARE * free / each)
    what = f"{key} {rows}: needs about {rows * each / GB:.1f} GB of memory, "
    fix = f"{key} {fitting} fits" if fitting else "choose a smaller model"
    raise Refusal(f"{what}{free / GB:.1f} GB are free", fix)
