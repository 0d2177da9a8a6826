"""What Python callers tell a model of each image: its class, its numbers, its text."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ddpm_cli.api import arguments
from ddpm_cli.api.arguments import Classes
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import kinds
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.classes import NULL
from ddpm_cli.models.kinds import of_classes, of_texts, of_values
from ddpm_cli.settings import asking
from ddpm_cli.settings.config import Config

Values: TypeAlias = Any  # {"age": 37}, {"age": [20, 30]}, or rows [N, V] or [V] of all numbers
Text: TypeAlias = str | Sequence[str | None] | Tensor | None


class Telling(NamedTuple):
    """What calls of the API say: the same for all images, or a list with one for each.

    classes: see arguments.numbers; values: numbers in the units of the data, by name or in their
    order, NaN or None of one that is not told; text: what is written, None if nothing is, or rows
    as the network's encoder makes them; negative: what guidance is away from.
    """

    classes: Classes = None
    values: Values = None
    text: Text = None
    negative: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is said of any image."""
        return self.classes is None and self.values is None and self.text is None

    def conditions(
        self, seeds: Sequence[int], config: Config, info: DataInfo, *, is_drawn: bool
    ) -> "Seen":
        """What the network shall see of the images of these seeds; wrong things are refused.

        is_drawn: a class that is not said is that of the seed, else it is the null class.
        """
        numbers = arguments.numbers(self.classes, seeds, config, info, is_drawn=is_drawn)
        label = NULL if self.classes is None and not is_drawn else None
        return Seen.of(self, len(seeds), config, info, of_classes(numbers), label)

    def rows(self, count: int, info: DataInfo) -> list["Telling"]:
        """What is said of each of so many images alone; text may be no rows."""
        if isinstance(self.text, Tensor):
            raise ConfigError("text: rows of an encoder; write it here")
        labels = arguments.labels(self.classes, count)
        values, written = _numbers(self.values, count, info), texts(self.text, count)
        return [Telling(*one, self.negative) for one in zip(labels, values, written, strict=True)]

    @classmethod
    def joined(cls, every: Sequence["Telling"]) -> "Telling":
        """What is said of images alone, without their classes, as of a batch."""
        values = {name: [one.values[name] for one in every] for name in every[0].values}
        written: list[Any] = [one.text for one in every]
        is_said = any(one is not None for one in written)
        return cls(None, values or None, written if is_said else None, every[0].negative)

    @property
    def words(self) -> dict[str, Any]:
        """What a request says of one image of `rows`, as the fields of a Use."""
        return {
            "label": self.classes,
            "values": tuple(asking.words(self.values or {})),
            "texts": () if self.text is None else (self.text,),
            "negative": self.negative,
        }


class Seen(NamedTuple):
    """What the network sees of images, by kind, and what guidance is away from."""

    told: Conditions
    against: Conditions

    @classmethod
    def of(
        cls,
        telling: Telling,
        count: int,
        config: Config,
        info: DataInfo,
        told: Conditions,
        label: str | None,
    ) -> "Seen":
        """What is told beside classes, which `told` has; label: that of all images, if any."""
        rows, against = _numbers(telling.values, count, info), dict[str, Tensor]()
        columns = {name: tuple(row[name] for row in rows) for name in rows[0]} if rows else {}
        written, is_text = telling.text, telling.text is not None
        listed = [""] if isinstance(written, Tensor) else texts(written, count)
        some = tuple(text for text in listed if text is not None)
        if telling.negative is not None and not isinstance(telling.negative, str):
            raise ConfigError("negative: one text for all images; give a string")
        Asked.checked(config, info, label, columns, some, telling.negative)
        if any(one is not None for column in columns.values() for one in column):
            told = told | {"values": of_values(rows, info)}
        if isinstance(written, Tensor):
            told = told | {"text": _encoded(written, count, config, info)}
        elif is_text:
            told = told | {"text": of_texts(listed, config, info)}
        if telling.negative is not None:
            against = {"text": of_texts([telling.negative] * count, config, info)}
        return cls(told, against)

    def at(self, rows: slice) -> "Seen":
        """Of some rows."""
        return Seen(*({kind: v[rows] for kind, v in each.items()} for each in self))

    def alone(self, row: int) -> tuple[Conditions, Conditions]:
        """Of one image, without an axis for it."""
        told, against = ({kind: v[row] for kind, v in each.items()} for each in self)
        return told, against


def texts(text: Any, count: int) -> list[str | None]:
    """The text of each of so many images: the same for all, or one for each."""
    if isinstance(text, str | None):
        listed = [text] * count
    elif isinstance(text, Sequence):
        listed = list(text)
    else:
        raise ConfigError(f"text: {text!r} is no text")
    if len(listed) != count:
        raise ConfigError(f"text: {len(listed)} for {count} images; give one for each")
    for one in listed:
        if not isinstance(one, str | None):
            raise ConfigError(f"text: {one!r} is no text")
        if one is not None:
            asking.check(one, "text")
    return listed


def _numbers(values: Values, count: int, info: DataInfo) -> list[dict[str, float | None]]:
    """The numbers of each of so many images, by name; {} if none are given."""
    if values is None:
        return [{} for _ in range(count)]
    names = info.values.names if info.values else ()
    if not isinstance(values, Mapping):
        return _in_order(values, count, names)
    columns = {}
    for name, given in values.items():
        asking.refuse_unknown(str(name), names)
        listed = [*given] if _is_several(given) else [given] * count
        if len(listed) != count:
            what = f"{len(listed)} for {count} images; give one for each"
            raise ConfigError(f"values: {name}: {what}")
        columns[str(name)] = [_number(str(name), one) for one in listed]
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


def _is_several(given: Any) -> bool:
    """Whether there is more than one number: tensors without axes are one."""
    is_array = getattr(given, "ndim", 1) > 0 and hasattr(given, "__len__")
    return is_array and not isinstance(given, str)


def _in_order(values: Any, count: int, names: Sequence[str]) -> list[dict[str, float | None]]:
    """Numbers [V], or [N, V] of each image, in the order of their names."""
    try:
        rows = torch.as_tensor(values, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError):
        what = f"{type(values).__name__}; give numbers by name, or an array [N, {len(names)}]"
        raise ConfigError(f"values: {what}") from None
    rows = rows.expand(count, -1) if rows.ndim == 1 else rows
    if not names or tuple(rows.shape) != (count, len(names)):
        have, want = arguments.shown(rows.shape), arguments.shown((count, len(names)))
        raise ConfigError(f"values: of shape {have}; the model takes {want}: {', '.join(names)}")
    return [
        {name: _number(name, one) for name, one in zip(names, row, strict=True)}
        for row in rows.tolist()
    ]


def _number(name: str, value: Any) -> float | None:
    """A number of any library; None of none, as NaN is."""
    try:
        number = math.nan if value is None else float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number) or isinstance(value, (str, bool)):
        raise ConfigError(f"values: {name}: {value!r} is no number")
    return None if math.isnan(number) else number


def _encoded(rows: Tensor, count: int, config: Config, info: DataInfo) -> Tensor:
    """Rows of texts as an encoder made them, one for each image."""
    null = kinds.nulls(config, info)["text"]
    if tuple(rows.shape) != (count, *null.shape):
        have, want = arguments.shown(rows.shape), arguments.shown((count, *null.shape))
        raise ConfigError(f"text: rows of shape {have}; the network takes {want}")
    return rows.to(null.dtype)
