"""What a checkpoint keeps of the data that its network was trained on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli.files import encodings, quantities, titles
from ddpm_cli.files.checkpoints import entries
from ddpm_cli.files.encodings import Encoding
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.quantities import Quantities
from ddpm_cli.files.titles import Titles

if TYPE_CHECKING:
    from torch import Tensor


class DataInfo(NamedTuple):
    """What a network was trained on: enough to sample without the data.

    mean, std: what normalized arrays, one number for each index of their first axis; None for
    images, whose values lie in [-1, 1]. titles: what is known of the columns of a table.
    range: the pixels of images that are -1 and 1, None for bytes from 0 to 255. values: numbers
    that the data say of each row, beside its values. beside: the channels of the image that lay
    beside each, 0 of none. encoding: of a frozen encoder of texts.
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    frequencies: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    titles: Titles | None = None
    range: tuple[int, int] | None = None
    values: Quantities | None = None
    beside: int = 0
    encoding: Encoding | None = None

    @property
    def scale(self) -> Scale:
        """The pixels of images."""
        return BYTES if self.range is None else Scale(*self.range)

    @property
    def is_image(self) -> bool:
        """Whether the data are images rather than arrays in units of their own."""
        return self.mean is None

    @property
    def noun(self) -> str:
        """What the data are called."""
        return "images" if self.is_image else "samples"

    @property
    def one(self) -> str:
        """What one of them is called, as of so many calls a row."""
        return "an image" if self.is_image else "a row"

    @property
    def row(self) -> tuple[int, ...]:
        """The shape of a row in units of the data: of a table one value for each column."""
        return (len(self.titles.whole),) if self.titles and self.titles.is_typed else self.shape

    @property
    def columns(self) -> Titles:
        """What is known of the columns of rows of one axis, whether there was a table or none."""
        return self.titles or Titles(None, (False,) * self.shape[0])

    def normalized(self, values: "Tensor") -> "Tensor":
        """Values [B, ...] in the units of the data as float64 that a network sees."""
        from ddpm_cli.files import codes

        return codes.normalized(values, self.mean, self.std, self.titles)

    def restore(self, x: "Tensor") -> "Tensor":
        """Values x [B, ...] of a network as float32 in the units of the data, on the CPU.

        Of a category it is the number of the nearest word.
        """
        from ddpm_cli.files import codes

        return codes.restored(x, self.mean, self.std, self.titles).float()

    def values_of(self, rows: Sequence[Sequence[str]], place: object = "table") -> "Tensor":
        """Values float64 [B, C] in the units of the data of rows of text, NaN for empty cells.

        The first row may name the columns, in any order and among others (`cells.arranged`).
        """
        from ddpm_cli.files import cells

        return cells.values_of(rows, self.columns, place)

    def cells(self, values: "Tensor") -> list[list[str]]:
        """Values [B, C] as `finished` gives them as rows of text, the names of columns first."""
        from ddpm_cli.files import cells

        return cells.texts(values, self.columns)

    def log_determinant(self, values: "Tensor") -> "Tensor":
        """Nats float64 [B] to add to the log density of `normalized` values for that of values.

        Of a category the density stays that of its relaxed code, a vector of 0 and 1.
        """
        from ddpm_cli.files import codes

        return codes.log_determinant(values, self.std, self.titles)

    def finished(self, x: "Tensor") -> "Tensor":
        """Samples x [B, ...] as `restore` gives them, but whole where the data hold integers."""
        import torch

        values = self.restore(x)
        if self.titles is None or values.ndim != 2:
            return values
        return torch.where(torch.tensor(self.titles.whole), values.round(), values)

    def fields(self) -> dict[str, Any]:
        """What JSON holds of it: entries that most data lack only if they are there."""
        entries = self._asdict()
        titles, pixels = entries.pop("titles"), entries.pop("range")
        if not entries["beside"]:
            del entries["beside"]
        entries |= {"titles": titles.fields()} if titles else {}
        for kind in ("values", "encoding"):
            told = entries.pop(kind)
            entries |= {kind: told._asdict()} if told else {}
        return entries | ({"range": list(pixels)} if pixels else {})


def of_json(data: dict[str, Any]) -> DataInfo:
    """What a header says that a network was trained on; see `DataInfo.fields`."""
    return DataInfo(
        entries.shape(data),
        tuple(map(str, data["classes"])) if data["classes"] else None,
        entries.frequencies(data),
        *entries.normalization(data),
        titles.of_json(data),
        entries.pixel_range(data),
        quantities.of_json(data),
        entries.whole(data.get("beside", 0), entries.CHANNELS_LIMIT),
        encodings.of_json(data),
    )
