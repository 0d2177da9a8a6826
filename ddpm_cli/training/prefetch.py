"""The rows of the next batch, brought to the device while it works on this one."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.shapes import sent
from ddpm_cli.training.conditions import on

Read = tuple[Tensor, Conditions]


class Side(Protocol):
    """A queue of a device beside the one that it works from."""

    def aside(self) -> AbstractContextManager[object]:
        """Where copies are put into this queue."""

    def join(self, tensors: Iterable[Tensor]) -> None:
        """Have what is queued for work from now on wait for the copies, which made these."""


class CudaSide:
    """A stream of CUDA for copies alone."""

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def aside(self) -> AbstractContextManager[object]:
        """Where copies are made on the stream."""
        return torch.cuda.stream(self._stream)

    def join(self, tensors: Iterable[Tensor]) -> None:
        """Let the current stream wait, and keep the tensors' memory until it is done with them."""
        current = torch.cuda.current_stream(self._stream.device)
        current.wait_stream(self._stream)
        for tensor in tensors:
            tensor.record_stream(current)


def placed(
    source: Iterable[Read], device: torch.device, side: Side | None = None
) -> Iterator[Read]:
    """What is read, on the device.

    The host queues a step and waits for none of it; so the next rows are read while the device
    computes, and copied as well where there is a queue beside that of its work.  side: this one,
    if it is not a stream of CUDA.
    """
    if side is None and device.type == "cuda":
        side = CudaSide(device)
    for rows, told in source:
        if side is None:
            yield sent(rows, device), on(device, told)
            continue
        with side.aside():
            copied, seen = sent(rows, device), on(device, told)
        side.join([copied, *seen.values()])
        yield copied, seen
