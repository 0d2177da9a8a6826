"""What a network is asked to be told of each image: its class, numbers and text, by its seed."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.models import build, classes
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Use

Numbers = Callable[[Sequence[int]], list[int] | None]
Names = Callable[[Sequence[int]], list[str] | None]


class Asked(NamedTuple):
    """What images of a model are told; of several texts image i gets number (seed mod how many).

    label: what --class says, None of those that their seeds draw; values: numbers in the units of
    the data by name; texts: what is written; negative: what guidance is away from, instead of no
    text; spelled: the numbers and names of the classes of seeds, if they are not the model's own.
    """

    config: Config
    info: DataInfo
    label: str | None = None
    values: tuple[tuple[str, float], ...] = ()
    texts: tuple[str, ...] = ()
    negative: str | None = None
    spelled: tuple[Numbers, Names] | None = None

    @classmethod
    def of(cls, use: Use, config: Config, info: DataInfo, label: str | None = None) -> "Asked":
        """What a request asks for; what the model cannot be told is refused. label: the class."""
        asked = cls.spelling(use, config, info, label)
        asked.numbers([0])  # an unknown class is refused here
        return asked

    @classmethod
    def spelling(
        cls,
        use: Use,
        config: Config,
        info: DataInfo,
        label: str | None = None,
        spelled: tuple[Numbers, Names] | None = None,
    ) -> "Asked":
        """The same with classes that are numbered and named in another way."""
        values, texts, negative = _numbers(use.values, config, info), use.texts, use.negative
        if (texts or negative is not None) and "text" not in config:
            raise ConfigError("--text: this model was trained without texts; leave it out")
        return cls(config, info, label, values, tuple(texts), negative, spelled)

    @classmethod
    def given(cls, use: Use, config: Config, info: DataInfo) -> "Asked":
        """What a request asks to be told of images that are there, which have one class."""
        asked = cls.of(use, config, info, classes.fixed(use.label, config))
        classes.one(asked.label, config, info)
        return asked

    def numbers(self, seeds: Sequence[int]) -> list[int] | None:
        """The number of the class of each seed; None for a model without classes."""
        if self.spelled is not None:
            return self.spelled[0](seeds)
        return classes.numbers(self.label, seeds, self.config, self.info)

    def names(self, seeds: Sequence[int]) -> list[str] | None:
        """The name of the class of each seed."""
        if self.spelled is not None:
            return self.spelled[1](seeds)
        return classes.names(self.label, self.config, self.info, seeds)

    def conditions(self, seeds: Sequence[int], **more: Tensor) -> Conditions:
        """What the network shall see of the images of these seeds, by kind."""
        told = of_classes(self.numbers(seeds))
        if self.values and self.info.values:
            row = torch.full((len(self.info.values.names),), torch.nan, dtype=torch.float64)
            for name, value in self.values:
                row[self.info.values.names.index(name)] = value
            told["values"] = self.info.values.normalized(row[None]).expand(len(seeds), -1)
        if self.texts:
            told["text"] = self._rows([self.texts[seed % len(self.texts)] for seed in seeds])
        return told | more

    def against(self, seeds: Sequence[int]) -> Conditions:
        """What guidance is away from, where it is not what nothing is told of."""
        if self.negative is None:
            return {}
        return {"text": self._rows([self.negative] * len(seeds))}

    def _rows(self, texts: Sequence[str]) -> Tensor:
        recipe = cast(Any, build.recipes(self.config, self.info.values)["text"])
        rows: Tensor = recipe.rows(texts)
        return rows


def of_classes(numbers: Sequence[int] | None) -> Conditions:
    """What the network sees of classes alone, by their numbers."""
    return {} if numbers is None else {"classes": torch.tensor(list(numbers))}


def _numbers(
    assignments: Sequence[str], config: Config, info: DataInfo
) -> tuple[tuple[str, float], ...]:
    """Numbers by name, of assignments NAME=NUMBER."""
    if assignments and ("values" not in config or info.values is None):
        raise ConfigError("--value: this model was trained without values; leave it out")
    found = {}
    for text in assignments:
        name, _, number = text.partition("=")
        names = info.values.names if info.values else ()
        if name not in names:
            raise ConfigError(
                f"--value {text}: no value is named {name!r}; {nearest(name, names)}"
            )
        try:
            found[name] = float(number)
        except ValueError:
            raise ConfigError(f"--value {text}: write NAME=NUMBER") from None
    return tuple(found.items())
