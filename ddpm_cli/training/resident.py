"""Data sets that fit are kept on the device and indexed there, in the order of the readers."""

from collections.abc import Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from ddpm_cli import hardware
from ddpm_cli.data.image_set import Conditions, Data, Held, told
from ddpm_cli.data.repeated import Repeated
from ddpm_cli.diffusion.shapes import sent

SHARE = 4  # of the free memory of a device, one part for the rows
ROWS = 4096  # that are moved at once
STEPS = 64  # whose indices are moved at once


class Resident:
    """All rows [N, ...] of a set in memory, with what is told of them, on a device.

    Bytes stay bytes, which take a quarter of what the network sees.
    """

    def __init__(self, data: Data, device: torch.device) -> None:
        first, _ = data[torch.arange(0)]
        shape = (len(data), *data.shape)
        self._rows = torch.empty(shape, dtype=first.dtype, device=device)
        for start in range(0, len(data), ROWS):
            numbers = torch.arange(start, min(start + ROWS, len(data)))
            self._rows[numbers[0] : numbers[-1] + 1] = data[numbers][0]
        self._conditions: Held = {
            kind: rows.on(device) if isinstance(rows, Repeated) else sent(rows, device)
            for kind, rows in data.conditions.items()
        }

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Rows [B, ...] and what is told of them, by indices on the device."""
        return self._rows[indices], told(self._conditions, indices)

    def ahead(self, order: Iterable[Tensor]) -> Iterator[Tensor]:
        """Indices of an order on the device, some steps ahead, moved while it works."""
        items = iter(order)
        while some := list(islice(items, STEPS)):
            yield from sent(torch.stack(some), self._rows.device)


def kept_on(device: torch.device, data: Data, wanted: str) -> Data | Resident:
    """The set on a device if that is wanted: "on", "off", or "auto", where it pays and fits."""
    if wanted == "auto":
        free = hardware.free_memory(device) if device.type == "cuda" and data.in_memory else None
        wanted = "on" if free is not None and SHARE * data.size <= free else "off"
    return Resident(data, device) if wanted == "on" else data
