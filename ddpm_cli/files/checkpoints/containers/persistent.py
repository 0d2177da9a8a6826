"""Modules of torch that a pickle holds as objects: their attributes, children and tensors."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ddpm_cli.files.checkpoints.containers.unpickling import Record


def attributes(module: Any) -> Mapping[str, Any]:
    """The attributes of an object; none of anything else."""
    state = getattr(module, "state", None) if isinstance(module, Record) else None
    return state if isinstance(state, Mapping) else {}


def children(module: Any) -> dict[str, Record]:
    """The modules in a module, in their order."""
    named = attributes(module).get("_modules")
    return _of(named, Record)


def weights(module: Any) -> dict[str, Tensor]:
    """All tensors of a module under the names of its state dict; what recurs is taken once."""
    return dict(_weights(module, "", set()))


def _weights(module: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if id(module) in seen:
        return
    seen.add(id(module))
    for kind in ("_parameters", "_buffers"):
        for name, value in _of(attributes(module).get(kind), Tensor).items():
            yield prefix + name, value
    for name, child in children(module).items():
        yield from _weights(child, f"{prefix}{name}.", seen)


def _of(named: Any, kind: type[Any]) -> dict[str, Any]:
    """The entries of a dict that are of a kind."""
    entries = named.items() if isinstance(named, Mapping) else ()
    return {str(name): value for name, value in entries if isinstance(value, kind)}


def number(module: Any, name: str, usual: float) -> float:
    """An attribute that is a number, the usual one if it is none or not there."""
    value = attributes(module).get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return usual
    return float(value)
