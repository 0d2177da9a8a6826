"""Whether a batch fits into memory, told before anything of it is made."""

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from ddpm_cli import hardware
from ddpm_cli.errors import Refusal
from ddpm_cli.models import build, kinds
from ddpm_cli.models.model import Model

LARGE = 2**20  # numbers in a batch from which on it is looked at
TRACED = 2**16  # the same where gradients go back through the network, which keep all of it
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


def row_bytes(model: Model, *, is_traced: bool = False) -> int:
    """The bytes that each row of a batch takes on a walk, as one call of the network shows.

    is_traced: gradients go back through the network, for which all outputs stay in use.
    """
    conditions = build.unsaid(model.config, model.info)
    conditions |= kinds.drawn(model.config, [0], model.randomness)
    x = model.placed(torch.zeros(1, *model.info.shape))
    states = STATES * x.nbytes
    if model.compute.compile:  # a first call would take minutes
        return states
    top = model.prepared().levels[0]
    with torch.no_grad(), watched() as seen, watched(are_kept=True) as kept:
        model.bound(conditions)(x, top)
    return states + TEMPORARY * max(seen) + (max(kept) if is_traced else 0)


def refuse_large(model: Model, rows: int, *, is_traced: bool = False, windows: int = 1) -> None:
    """Refuse a walk of so many rows at a time that does not fit, with a number that does.

    is_traced: see `row_bytes`; windows: of an image, that are rows of their own and at a time.
    """
    if rows * math.prod(model.info.shape) < (TRACED if is_traced else LARGE):
        return
    each, device = row_bytes(model, is_traced=is_traced), model.compute.device
    if is_traced and windows > 1:
        what = f"a gradient through {windows} windows of an image"
        fix = "choose a smaller image, or --method ddnm without guides"
        _refuse(what, windows * each, device, lambda free: fix)
    refuse("--batch", rows, each, device)


def refuse(key: str, rows: int, each: int, device: torch.device) -> None:
    """Refuse so many rows, as `key` says, of so many bytes each, where they do not fit."""

    def fix(free: int) -> str:
        fitting = int(SHARE * free / each)
        return f"{key} {fitting} fits" if fitting else "choose a smaller model"

    _refuse(f"{key} {rows}", rows * each, device, fix)


def _refuse(what: str, size: int, device: torch.device, fix: Callable[[int], str]) -> None:
    """Refuse what takes more bytes than there are; fix: what is done about it with those."""
    free = hardware.free_memory(device)
    if free is not None and size > free:
        needs = f"needs about {size / GB:.1f} GB of memory, {free / GB:.1f} GB are free"
        raise Refusal(f"{what}: {needs}", fix(free))
