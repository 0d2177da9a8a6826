"""The blocks that a network is made of, for what is done block by block."""

from collections.abc import Iterator
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """What stands in lists of modules, but in no other list, in the order of the network."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from child.children()
        else:
            yield from blocks(child)


def recompute(module: nn.Module) -> None:
    """Keep only what enters each block; the backward pass computes the rest of it once more.

    Activation checkpointing (Chen 2016, "Training deep nets with sublinear memory cost"): the
    same numbers, dropout too, for about a third more time.
    """
    for block in blocks(module):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)
