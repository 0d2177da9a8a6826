"""Which values of pixels a network sees as -1 and 1: 0 and 255 of bytes, what is said of 16 bits.

Pixels are uint8, or int32 where they come from 16 bits or go there.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli.errors import Refusal

if TYPE_CHECKING:
    from torch import Tensor

LARGEST = 65535  # of 16 bits
FEW = 0.25  # of a scale: what uses less may be meant for another


class Scale(NamedTuple):
    """The pixels from `low`, -1 for a network, to `high`, 1."""

    low: int = 0
    high: int = 255

    @property
    def is_deep(self) -> bool:
        """Whether its pixels need more than 8 bits."""
        return self.high > BYTES.high

    @property
    def bits(self) -> float:
        """The binary logarithm of how many values it has."""
        return math.log2(self.high - self.low + 1)

    @property
    def setting(self) -> str:
        """What to type for it."""
        return f"--set data.range=[{self.low},{self.high}]"

    def __str__(self) -> str:
        return f"{self.low} to {self.high}"

    def values(self, pixels: "Tensor") -> "Tensor":
        """Pixels as float32, those from low to high in [-1, 1]."""
        return (pixels.float() - self.low) / ((self.high - self.low) / 2) - 1

    def pixels(self, values: "Tensor") -> "Tensor":
        """Floats in [-1, 1] as pixels: rounded and clamped, uint8 if these suffice."""
        import torch

        scaled = (values.detach().float() + 1) * ((self.high - self.low) / 2) + self.low
        dtype = torch.int32 if self.is_deep else torch.uint8
        return scaled.round().clamp(self.low, self.high).to(dtype)

    def colour(self, levels: Iterable[int]) -> tuple[int, ...]:
        """Levels of 0 to 255 as pixels."""
        return tuple(round(self.low + x * (self.high - self.low) / 255) for x in levels)


BYTES = Scale()
WIDE = Scale(0, LARGEST)


class OutOfRange(Refusal):
    """Pixels that a scale does not hold."""


def of(values: Any) -> Scale | None:
    """The scale [low, high] of a header or a record, None if it is none."""
    whole = isinstance(values, (list, tuple)) and len(values) == 2
    if not whole or not all(type(value) is int for value in values):
        return None
    low, high = values
    return Scale(low, high) if 0 <= low < high <= LARGEST else None


def common(scales: Iterable[Scale]) -> Scale:
    """The scale that loses least of what is read by several."""
    return max(scales, key=lambda scale: (scale.high, -scale.low))


def drawn(given: Sequence[Scale], own: Scale, shape: Sequence[int]) -> Scale:
    """The scale of images [C, ...] made of others: theirs, or a model's own.

    Colours have no 16 bits.
    """
    if not given:
        return own
    scale = common(given)
    return BYTES if scale.is_deep and shape[0] != 1 else scale


def fitting(low: int, high: int) -> Scale:
    """The scale that pixels from low to high are likely meant for: so many bits, or themselves."""
    scale = Scale(0, 2 ** max(high, 1).bit_length() - 1)
    return Scale(low, high) if low < high and is_few(low, high, scale) else scale


def is_few(low: int, high: int, scale: Scale) -> bool:
    """Whether pixels from low to high use under a quarter of a scale."""
    return high - low < FEW * (scale.high - scale.low)


def refuse_outside(name: str, low: int, high: int, scale: Scale) -> None:
    """Refuse pixels from low to high that a scale does not hold."""
    if scale.low <= low and high <= scale.high:
        return
    what = f"{name}: has values from {low} to {high}, outside of data.range, {scale}"
    wider = fitting(min(low, scale.low), max(high, scale.high))
    raise OutOfRange(what, f"give a range that holds them: {wider.setting}")


def recorded(scale: Scale, is_deep: bool) -> dict[str, Any]:
    """What a file of 8 or 16 bits says of the scale of its pixels; nothing of all they can be."""
    return {} if scale == (WIDE if is_deep else BYTES) else {"range": list(scale)}
