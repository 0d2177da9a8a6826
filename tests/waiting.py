"""What makes the host wait for an accelerator, found without one: `meta` stands for the device.

A number read from a tensor there, a copy back, and shapes that depend on values raise by
themselves, as meta tensors have no values.  Copies to the device that would wait do not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
_COPIES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
_MADE_ON_THE_HOST = {torch.tensor, torch.as_tensor, torch.asarray}


class Waits(AssertionError):
    """The host would wait for the device."""


def _places(values: Any) -> set[str]:
    """On which kinds of device the tensors among some values are."""
    return {value.device.type for value in tree_leaves(values) if isinstance(value, Tensor)}


class _Copies(TorchDispatchMode):
    """Refuses copies to the device for which the host would wait."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        places = _places([args, result])
        if func in _COPIES and places == {"cpu", "meta"}:
            is_free = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
            if not is_free:
                raise Waits(f"{func} from pageable memory; use shapes.sent")
        return result


class _Literals(TorchFunctionMode):
    """Refuses tensors that are made of numbers on the host and then copied to the device."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **kwargs or {})
        if func in _MADE_ON_THE_HOST and "meta" in _places(result) - _places(args):
            raise Waits(f"torch.{func.__name__} of numbers on the device; fill it there instead")
        return result


@contextmanager
def never() -> Iterator[None]:
    """Where the host must not wait for the device `meta`."""
    with _Literals(), _Copies():
        yield


class Drawn:
    """Draws that are made on the device."""

    def normal(self, like: Tensor) -> Tensor:
        """Unit normals like `like`."""
        return torch.randn_like(like)


def refused(work: Callable[[], object]) -> bool:
    """Whether something makes the host wait."""
    try:
        with never():
            work()
    except (Waits, RuntimeError, NotImplementedError):
        return True
    return False
