"""The types that component knobs are annotated with: a base type and its legal range.

def ddim(denoise, x, move, rng, past, *, eta: NonNegative = 0.0) -> Tensor: ...
"""

from typing import Annotated, NamedTuple


class Range(NamedTuple):
    """The legal values of a number: low <= value <= high, or low < value when `open_low`."""

    low: float | None
    high: float | None
    open_low: bool = False

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, (int, float)):
            return False
        if self.low is not None and (value < self.low or (self.open_low and value == self.low)):
            return False
        return self.high is None or value <= self.high

    def __str__(self) -> str:
        if self.low is None:
            return f"at most {self.high}" if self.high is not None else "any number"
        if self.high is None:
            return f"more than {self.low}" if self.open_low else f"at least {self.low}"
        first = f"more than {self.low}, at most" if self.open_low else f"{self.low} to"
        return f"{first} {self.high}"


Count = Annotated[int, Range(1, None)]
Index = Annotated[int, Range(0, None)]
Order = Annotated[int, Range(1, 3)]
Workers = Annotated[int, Range(0, 256)]
Fraction = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, True)]
Positive = Annotated[float, Range(0, None, True)]
NonNegative = Annotated[float, Range(0, None)]
