"""Numbers that data say of each row, beside its values: what they are called, and their scale."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

FAR = 1e4  # deviations of the data, beyond which a network computes nothing of use


class Quantities(NamedTuple):
    """What is known of numbers that a network is told, one entry each, in their own units.

    low, high: the extremes in training.
    """

    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def normalized(self, values: "Tensor") -> "Tensor":
        """Numbers [B, V] in their own units as float32 of mean 0 and deviation 1; NaN stays."""
        import torch

        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (self.mean, self.std))
        return ((values.double() - mean) / std).float()


def of(names: tuple[str, ...], values: "Tensor") -> Quantities:
    """What is known of numbers [N, V], of which NaN are not told; a constant keeps its scale."""
    told = [column[~column.isnan()] for column in values.double().unbind(1)]
    std = [float(column.std(correction=0)) if len(column) else 1.0 for column in told]
    return Quantities(
        names,
        tuple(float(column.mean()) if len(column) else 0.0 for column in told),
        tuple(one if one > 0 and math.isfinite(one) else 1.0 for one in std),
        tuple(float(column.min()) if len(column) else 0.0 for column in told),
        tuple(float(column.max()) if len(column) else 0.0 for column in told),
    )


def of_json(data: Mapping[str, Any]) -> Quantities | None:
    """What a header says of the numbers that are told, if any are."""
    entries = data.get("values")
    if entries is None:
        return None
    names = tuple(map(str, entries["names"]))
    rest = [tuple(map(float, entries[key])) for key in Quantities._fields[1:]]
    if any(len(each) != len(names) for each in rest) or not names:
        raise ValueError("values: not as many entries as names")
    if not all(math.isfinite(one) for each in rest for one in each) or min(rest[1]) <= 0:
        raise ValueError("values: no scale of numbers")
    return Quantities(names, *rest)
