"""A set of float arrays of one shape with optional labels, normalized, in memory."""

from torch import Tensor

from ddpm_cli.data.image_set import Conditions, Texts, conditions_of, shares, told
from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.files.titles import Titles

VALUE_LIMIT = 2**28  # values of a set: 1 GiB of float32
NAMED = 8  # columns that are named in a description


class ArraySet:
    """Rows [N, ...] of float32 as a network sees them: (values - mean) / std.

    mean and std have one number for each index of the first axis of a row: for each feature of
    [N, d], for each channel of [N, C, ...].
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
        """Take values [N, D, ...] in their own units, mean [D] and std [D]; origin: see Data."""
        wide = [-1, *[1] * (values.ndim - 2)]
        normal = (values.double() - mean.double().reshape(wide)) / std.double().reshape(wide)
        self._values = normal.float()
        self.shape = tuple(values.shape[1:])
        self.mean: tuple[float, ...] | None = tuple(mean.tolist())
        self.std: tuple[float, ...] | None = tuple(std.tolist())
        self.labels = labels
        self.conditions = conditions_of(labels)
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

    @property
    def size(self) -> int:
        """The bytes that all values take."""
        stored = self._values.untyped_storage().nbytes()  # of which windows share some
        return min(4 * self._values.numel(), stored)

    @property
    def reach(self) -> float:
        """The largest magnitude of a normalized value."""
        return max(float(self._values.amax()), -float(self._values.amin()))

    @property
    def what(self) -> str:
        """Number and shape of the rows, in words."""
        if len(self.shape) == 1:
            names = (self.titles.columns if self.titles else None) or ()
            shown = ", ".join(one_line(name) or "unnamed" for name in names)
            named = f" ({shown})" if 0 < len(names) <= NAMED else ""
            return f"{len(self)} rows of {self.shape[0]} values{named}"
        return f"{len(self)} arrays of {'x'.join(map(str, self.shape))} values"

    def frequencies(self) -> list[float] | None:
        """Give the share of each class, or None without classes."""
        return shares(self.labels, self.classes)


def statistics(values: Tensor, place: str) -> tuple[Tensor, Tensor]:
    """Mean [D] and standard deviation [D] over all but axis 1; a constant keeps its scale."""
    columns = values.double().transpose(0, 1).flatten(1)
    mean, std = columns.mean(1), columns.std(1, correction=0)
    # Rounding gives a constant column a tiny deviation, which would blow its noise up.
    std[columns.amin(1) == columns.amax(1)] = 1.0
    wrong = ~(mean.isfinite() & std.isfinite() & (std > 0))
    if wrong.any():
        column = int(wrong.nonzero()[0]) + 1
        raise Refusal(
            f"{place}: the values of column {column} cannot be normalized: too far apart"
        )
    return mean, std
