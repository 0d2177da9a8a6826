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
from ddpm_cli.models import build
from ddpm_cli.models.model import Model
from ddpm_cli.settings import checks

LARGE = 2**20  # numbers in a batch from which on it is looked at
TEMPORARY = 2  # times the outputs of modules: what they make within themselves
STATES = 6  # of a walk that are there at a time: x, x0, eps, noise, and those before
SHARE = 0.7  # of what is free that a batch may well take
GB = 1e9


@contextmanager
def watched() -> Iterator[list[int]]:
    """The bytes of all outputs of modules that are still in use, after each module that is run."""
    held, seen = list[tuple[weakref.ref[Tensor], int]](), list[int]()

    def note(module: nn.Module, given: object, made: object) -> None:
        if isinstance(made, Tensor):
            held.append((weakref.ref(made), made.nbytes))
        held[:] = [entry for entry in held if entry[0]() is not None]
        seen.append(sum(size for _, size in held))

    handle = register_module_forward_hook(note)
    try:
        yield seen
    finally:
        handle.remove()


def row_bytes(model: Model) -> int:
    """The bytes that each row of a batch takes on a walk, as one call of the network shows."""
    shape, config = model.info.shape, model.config
    conditions, task = dict[str, Tensor](), build.task(config, model.info)
    if checks.classes(config):
        conditions["classes"] = torch.zeros(1, dtype=torch.int64)
    if task is not None:
        conditions["image"] = torch.zeros(1, task.channels, *shape[1:])
    x = model.placed(torch.zeros(1, *shape))
    states = STATES * x.nbytes
    if model.compute.compile:  # a first call would take minutes
        return states
    top = model.prepared().levels[0]
    with torch.no_grad(), watched() as seen:
        model.bound(conditions)(x, top)
    return states + TEMPORARY * max(seen, default=0)


def refuse_large(model: Model, rows: int, key: str = "--batch") -> None:
    """Refuse a batch of so many rows that does not fit, with one that does."""
    if rows * math.prod(model.info.shape) < LARGE:
        return
    free = hardware.free_memory(model.compute.device)
    if free is None:
        return
    each = row_bytes(model)
    if rows * each <= free:
        return
    fitting = int(SHARE * free / each)
    fix = f"{key} {fitting} fits" if fitting else "choose a smaller model"
    what = f"{key} {rows}: needs about {rows * each / GB:.1f} GB of memory, "
    raise Refusal(f"{what}{free / GB:.1f} GB are free", fix)
