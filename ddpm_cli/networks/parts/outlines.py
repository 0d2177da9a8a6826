"""Networks without weights, built only as far as there are tensors for them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook


class Misfit(Exception):
    """Tensors are not those of a network."""


def outline(make: Callable[[], nn.Module], tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network that `make` builds, on torch's device "meta", which takes no memory.

    Misfit says that it is not the network of these tensors, by their names and shapes; what
    would have more of them than there are is not built to its end.
    """
    with torch.device("meta"), _at_most(len(tensors)):
        network = make()
    own = network.state_dict()
    for name in (*own, *tensors):
        if name not in tensors:
            raise Misfit(f"{name} is missing")
        if name not in own:
            raise Misfit(f"{name} is no tensor of it")
        have, want = tensors[name], own[name]
        if have.shape != want.shape:
            raise Misfit(f"{name} is {_shown(have)}, not {_shown(want)}")
        if have.is_floating_point() != want.is_floating_point():
            raise Misfit(f"{name} is of type {have.dtype}")
    return network


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Raise Misfit where more than so many parameters are made in the block."""
    registered = 0

    def register(*_: object) -> None:
        nonlocal registered
        registered += 1
        if registered > count:
            raise Misfit(f"it has more than the {count} tensors that are there")

    handle = register_module_parameter_registration_hook(register)
    try:
        yield
    finally:
        handle.remove()


def _shown(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a single number"
