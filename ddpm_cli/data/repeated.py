"""What is told of rows of which many are told the same: each different one is held once."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.shapes import sent


class Repeated:
    """Rows of a table [U, ...], by the number int64 [N] or [N, F] that each of N has."""

    def __init__(self, table: Tensor, numbers: Tensor) -> None:
        self._table, self._numbers = table, numbers

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """Give rows [B, ...] or [B, F, ...] by their positions."""
        return self._table[self._numbers[indices]]

    def on(self, device: torch.device) -> "Repeated":
        """Give the same rows on a device."""
        return Repeated(sent(self._table, device), sent(self._numbers, device))
