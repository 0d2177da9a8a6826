"""Copies of a run's tensors that a thread writes while the training goes on."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.training import sharding


class Snapshots:
    """Copies tensors to memory of its own on the CPU, page-locked where they come from CUDA.

    Page-locked memory is dear to get, so it serves all copies, one after the other.
    """

    def __init__(self) -> None:
        self._locked: dict[str, Tensor] = {}
        self._event: torch.Event | None = None

    def fit(self, tensors: Mapping[str, Tensor]) -> bool:
        """Whether there is twice the memory that copies take."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        free = hardware.free_memory(torch.device("cpu"))
        return bool(self._locked) or free is None or free >= 2 * size

    def take(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All tensors as they are now, those that are shared out gathered one by one.

        Copies from CUDA are under way: `ready` waits for them.
        """
        taken = {
            name: self._copied(name, sharding.whole(tensor.detach()))
            for name, tensor in tensors.items()
        }
        if self._locked:
            self._event = torch.Event("cuda")
            self._event.record()
        return taken

    def _copied(self, name: str, tensor: Tensor) -> Tensor:
        if tensor.device.type != "cuda":
            return tensor.to("cpu", copy=True)
        kept = self._locked.get(name)
        if kept is None:
            kept = torch.empty_like(tensor, device="cpu", pin_memory=True)
            self._locked[name] = kept
        return kept.copy_(tensor, non_blocking=True)

    def ready(self) -> None:
        """Wait until the copies hold what they shall."""
        if self._event is not None:
            self._event.synchronize()
