"""A set of float arrays of one shape with optional labels, normalized, in memory."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions, Data, Held, Texts, conditions_of, shares, told
from ddpm_cli.errors import Refusal, many, one_line
from ddpm_cli.files import codes
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.files.titles import Titles

VALUE_LIMIT = 2**28  # values of a set: 1 GiB of float32
NAMED = 8  # columns that are named in a description


class ArraySet:
    """Rows [N, ...] of float32 as a network sees them: (codes - mean) / std.

    The codes are the values, but for columns of a table with types of their own (`files.codes`).
    mean and std have one number for each index of the first axis of a row: for each feature of
    [N, d], for each channel of [N, C, ...]. A value that is missing is NaN.
    """

    skipped: tuple[str, ...] = ()
    in_memory = True
    range: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    values: Quantities | None = None
    texts: Texts | None = None
    beside = 0

    def __init__(
        self,
        values: Tensor,
        mean: Tensor,
        std: Tensor,
        labels: Tensor | None = None,
        classes: tuple[str, ...] | None = None,
        titles: Titles | None = None,
        origin: str = "the data",
    ) -> None:
        """Take values [N, C, ...] in their own units, mean [D] and std [D]; origin: see Data."""
        self.mean: tuple[float, ...] | None = tuple(mean.tolist())
        self.std: tuple[float, ...] | None = tuple(std.tolist())
        self._values = codes.normalized(values, self.mean, self.std, titles).float()
        self.shape = tuple(self._values.shape[1:])
        self.columns = values.shape[1]
        self.labels = labels
        self.conditions: Held = {**conditions_of(labels)}
        self.classes = classes
        self.titles = titles
        self.origin = origin

    @classmethod
    def of_normalized(cls, values: Tensor, mean: Tensor, std: Tensor) -> "ArraySet":
        """Take float32 values [N, D, ...] as a network sees them, which may share memory."""
        made = cls(values[:1], mean, std)
        made._values = values
        return made

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Conditions]:
        """Give normalized values float32 [B, ...] and what is told of them, as their classes."""
        return self._values[indices], told(self.conditions, indices)

    def in_units(self, indices: Tensor) -> Tensor:
        """Rows float64 [B, C, ...] in the units of the data, NaN where a value is missing."""
        own = codes.restored(self._values[indices], self.mean, self.std, self.titles).double()
        if self.titles is None or own.ndim != 2:
            return own
        return torch.where(torch.tensor(self.titles.whole), own.round(), own)

    @property
    def size(self) -> int:
        """The bytes that all values take."""
        stored = self._values.untyped_storage().nbytes()  # of which windows share some
        return min(4 * self._values.numel(), stored)

    @property
    def reach(self) -> float:
        """The largest magnitude of a normalized value."""
        most = max(float(self._values.amax()), -float(self._values.amin()))
        if math.isnan(most):  # some values are missing
            most = float(self._values.abs().nan_to_num(0.0, torch.inf).max())
        return most

    @property
    def has_gaps(self) -> bool:
        """Whether some of the values are missing."""
        return bool(self._values.isnan().any())

    @property
    def what(self) -> str:
        """Number and shape of the rows, in words."""
        if len(self.shape) == 1:
            names = (self.titles.columns if self.titles else None) or ()
            shown = ", ".join(one_line(name) or "unnamed" for name in names)
            named = f" ({shown})" if 0 < len(names) <= NAMED else ""
            return f"{many(len(self), 'rows')} of {many(self.columns, 'values')}{named}"
        return f"{many(len(self), 'arrays')} of {'x'.join(map(str, self.shape))} values"

    def frequencies(self) -> list[float] | None:
        """Give the share of each class, or None without classes."""
        return shares(self.labels, self.classes)


def refuse_gaps(data: Data, use: str) -> None:
    """Refuse rows of which values are missing, for a use that takes none."""
    if isinstance(data, ArraySet) and data.has_gaps:
        fix = "--set data.missing=fill draws them given the rest of their row"
        raise Refusal(f"data: some cells are missing, and {use} takes whole rows", fix)


def _shared(deviations: Tensor) -> Tensor:
    """The root mean square of deviations, in place of each."""
    return deviations.square().mean().sqrt().expand(len(deviations))


def statistics(values: Tensor, place: str, widths: Sequence[int] = ()) -> tuple[Tensor, Tensor]:
    """Mean [D] and standard deviation [D] over all but axis 1; a constant keeps its scale.

    Gaps are left out. widths: of the columns whose codes have one scale, so that words stay
    equally far apart; their variances are 1 in the mean.
    """
    columns = values.double().transpose(0, 1).flatten(1)
    if columns.isnan().any():
        known = [column[~column.isnan()] for column in columns]
        if empty := [number for number, column in enumerate(known) if not len(column)]:
            what = f"{place}: value {empty[0] + 1} of a row is missing in all rows to train on"
            raise Refusal(what, "leave its column out: data.skip")
        mean = torch.stack([column.mean() for column in known])
        std = torch.stack([column.std(correction=0) for column in known])
        is_constant = torch.stack([column.amin() == column.amax() for column in known])
    else:
        mean, std = columns.mean(1), columns.std(1, correction=0)
        is_constant = columns.amin(1) == columns.amax(1)
    # Rounding gives a constant column a tiny deviation, which would blow its noise up.
    std[is_constant] = 0.0
    if len(widths):
        parts = torch.split(std, [*widths])
        std = torch.cat([part if len(part) == 1 else _shared(part) for part in parts])
    std[std == 0] = 1.0
    wrong = ~(mean.isfinite() & std.isfinite())
    if wrong.any():
        column = int(wrong.nonzero()[0]) + 1
        raise Refusal(
            f"{place}: the values of column {column} cannot be normalized: too far apart"
        )
    return mean, std
