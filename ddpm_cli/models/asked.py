"""What a network is asked to be told of each image: its class, numbers and text, by its seed."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice, product
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.errors import ConfigError, one_line
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.outputs.naming import Naming
from ddpm_cli.files.quantities import FAR, Quantities
from ddpm_cli.models import classes, kinds
from ddpm_cli.models.kinds import of_classes, of_texts, of_values
from ddpm_cli.settings import asking, checks, passes
from ddpm_cli.settings.asking import Numbers
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.request_parts import Use

Numbered = Callable[[Sequence[int]], list[int] | None]
Named = Callable[[Sequence[int]], list[str] | None]


class Asked(NamedTuple):
    """What images of a model are told; several classes, texts and numbers take turns.

    Image i gets number (i mod how many) of their combinations, of which numbers change fastest
    and classes slowest.

    label: what --class says, None of those that their seeds draw; values: numbers in the units of
    the data by name, None of one that is not told; texts: what is written; negative: what guidance
    is away from, instead of no text; spelled: the numbers and names of the classes of seeds, if
    they are not the model's own.
    """

    config: Config
    info: DataInfo
    label: str | None = None
    values: Mapping[str, Numbers] = {}
    texts: tuple[str, ...] = ()
    negative: str | None = None
    spelled: tuple[Numbered, Named] | None = None

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
        spelled: tuple[Numbered, Named] | None = None,
    ) -> "Asked":
        """The same with classes that are numbered and named in another way."""
        told = info.values.names if info.values and "values" in config else ()
        values = asking.numbers(use.values, told)
        return cls.checked(config, info, label, values, tuple(use.texts), use.negative, spelled)

    @classmethod
    def checked(
        cls,
        config: Config,
        info: DataInfo,
        label: str | None,
        values: Mapping[str, Numbers],
        texts: tuple[str, ...],
        negative: str | None,
        spelled: tuple[Numbered, Named] | None = None,
    ) -> "Asked":
        """What is asked for, unless the model cannot be told it, or must be told more."""
        _check_values(values, config, info)
        _check_texts(texts, config)
        if negative is not None:
            _refuse_negative(config)
        asked = cls(config, info, label, values, texts, negative, spelled)
        _refuse_idle_guidance(asked)
        _read([*texts, *([] if negative is None else [negative])], config, info)
        return asked

    @classmethod
    def given(cls, use: Use, config: Config, info: DataInfo) -> "Asked":
        """What a request asks to be told of images that are there, which are told the same."""
        asked = cls.of(use, config, info, classes.fixed(use.label, config))
        classes.one(asked.label, config, info)
        asked.refuse_several()
        return asked

    def refuse_several(self) -> None:
        """Refuse texts or numbers that would take turns, as for images that belong together."""
        if len(self.texts) > 1:
            raise ConfigError(f"--text: {len(self.texts)} texts; give one")
        for name, numbers in self.values.items():
            if len(numbers) > 1:
                raise ConfigError(f"--value {name}: {len(numbers)} numbers; give one")

    @property
    def turns(self) -> int:
        """How many texts and numbers take turns within a class."""
        return self._combinations * max(1, len(self.texts))

    @property
    def _combinations(self) -> int:
        return math.prod(map(len, self.values.values()))

    def count(self, names: Sequence[str] | None = None) -> int:
        """How many combinations there are, with classes of these names or of the model's own."""
        known = classes.known(self.config, self.info) if names is None else names
        labels = len(classes.listed(self.label, known)) if self.label and known else 1
        return labels * self.turns

    def say(self, label: str | None) -> None:
        """Say what takes turns; label: what --class says."""
        classes.say(label, self.config, self.info)
        every = {"texts": [*map(one_line, self.texts)]}
        every |= {name: [*map(asking.shown, each)] for name, each in self.values.items()}
        for name, listed in every.items():
            if len(listed) > 1:
                many = len(listed) > classes.SHOWN
                more = f", ... ({len(listed)} in all)" if many else ""
                console.say(f"{name}: {', '.join(listed[: classes.SHOWN])}{more}")

    def numbers(self, seeds: Sequence[int]) -> list[int] | None:
        """The number of the class of each seed; None for a model without classes."""
        seeds = self._turned(seeds)
        if self.spelled is not None:
            return self.spelled[0](seeds)
        return classes.numbers(self.label, seeds, self.config, self.info)

    def names(self, seeds: Sequence[int]) -> list[str] | None:
        """The name of the class of each seed."""
        seeds = self._turned(seeds)
        if self.spelled is not None:
            return self.spelled[1](seeds)
        return classes.names(self.label, self.config, self.info, seeds)

    def _turned(self, seeds: Sequence[int]) -> Sequence[int]:
        """The place of each seed in the turns of the classes; one that is drawn has its own."""
        turns = self.turns if self.label is not None else 1
        return seeds if turns == 1 else [seed // turns for seed in seeds]

    def text(self, seed: int) -> str | None:
        """What is written of the image of a seed, None if nothing is."""
        return self.texts[seed // self._combinations % len(self.texts)] if self.texts else None

    def told(self, seed: int) -> dict[str, float | None]:
        """The number of each name that the image of a seed is told."""
        place = seed % self._combinations
        combination = next(islice(product(*self.values.values()), place, None))
        return dict(zip(self.values, combination, strict=True))

    def alone(self, seed: int) -> dict[str, Any]:
        """What a record says of the image of a seed alone; nothing of what no model is told."""
        own = self._said(self.text(seed), self.told(seed))
        if own and self.label is not None and self.turns > 1:
            own["class"] = (self.names([seed]) or [self.label])[0]
        return own

    @property
    def naming(self) -> Naming:
        """What the name of the file of an image can say."""
        known = self.info.values if "values" in self.config else None
        return Naming(self.names, self.alone, known.names if known else ())

    @property
    def named(self) -> dict[str, Any]:
        """The same with what --class says, as lines of results have it."""
        return {"class": self.label, **self.record}

    @property
    def record(self) -> dict[str, Any]:
        """What a record says of all images, so that they can be made again."""
        texts = self.texts[0] if len(self.texts) == 1 else list(self.texts) or None
        values = {k: v[0] if len(v) == 1 else list(v) for k, v in self.values.items()}
        negative = {} if self.negative is None else {"negative": self.negative}
        return self._said(texts, values) | negative

    def _said(self, text: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        said = {"text": text} if "text" in self.config else {}
        if "values" in self.config and self.info.values:
            said["values"] = dict.fromkeys(self.info.values.names) | dict(values)
        return said

    def conditions(self, seeds: Sequence[int], **more: Tensor) -> Conditions:
        """What the network shall see of the images of these seeds, by kind."""
        told = of_classes(self.numbers(seeds))
        if any(number is not None for each in self.values.values() for number in each):
            told["values"] = of_values([self.told(seed) for seed in seeds], self.info)
        if self.texts:
            told["text"] = of_texts([self.text(seed) for seed in seeds], self.config, self.info)
        return told | more

    def alike(self) -> tuple[Conditions, Conditions]:
        """What the network shall see of one image, without an axis for it, and against it."""
        told, against = self.conditions([0]), self.against([0])
        return {k: v[0] for k, v in told.items()}, {k: v[0] for k, v in against.items()}

    def against(self, seeds: Sequence[int]) -> Conditions:
        """What guidance is away from, where it is not what nothing is told of."""
        if self.negative is None:
            return {}
        return {"text": of_texts([self.negative] * len(seeds), self.config, self.info)}


def _check_values(values: Mapping[str, Numbers], config: Config, info: DataInfo) -> None:
    """Refuse to tell no number that was always told in training; warn of what it has not seen."""
    known = info.values
    if known is None or "values" not in config:
        return  # of which there are no names
    for place, name in enumerate(known.names):
        if name in values:
            _warn_beyond(name, values[name], known, place)
        elif not (config["values"]["drop"] or config["values"].get("drop_each")):
            what = f"--value {name}: this model was always told it (values.drop=0)"
            raise ConfigError(f"{what}; give it, as --value {name}={known.mean[place]:.3g}")


def _warn_beyond(name: str, numbers: Numbers, known: Quantities, place: int) -> None:
    """Warn of numbers that training has not seen; those that are far from all are refused."""
    low, high, std = known.low[place], known.high[place], known.std[place]
    beyond = [number for number in numbers if number is not None and not low <= number <= high]
    if beyond:
        what = f"--value {name}={asking.shown(beyond[0])}"
        if max(abs(number - known.mean[place]) for number in beyond) > FAR * std:
            raise ConfigError(f"{what}: far from what training saw, {low:g} to {high:g}")
        console.warn(f"{what}: training saw {low:g} to {high:g}")


def _check_texts(texts: tuple[str, ...], config: Config) -> None:
    """Refuse texts that no model was told, and none if training always told one."""
    if "text" not in config and texts:
        raise ConfigError("--text: this model was trained without texts; leave it out")
    if "text" in config and not texts and not config["text"]["drop"]:
        what = "--text: this model was always told a text (text.drop=0)"
        raise ConfigError(f"{what}; give one, as --text 'red heart'")


def _read(texts: Sequence[str], config: Config, info: DataInfo) -> None:
    """Say which texts are cut; a frozen encoder that is not there is missed before any work."""
    if texts:
        reader = kinds.reader(config, info)
        if cut := reader.cut(texts):
            console.warn(cut)
        reader.rows(texts)


def _refuse_negative(config: Config) -> None:
    if "text" not in config:
        raise ConfigError("--negative: this model was trained without texts; leave it out")
    if not passes.is_classifier_free(config):
        is_other = passes.has_guide(config.get("guidance", {}))
        fix = "leave it out" if is_other else "guide it, as --set guidance.scale=3"
        raise ConfigError(f"--negative: of no use without classifier-free guidance; {fix}")


def _refuse_idle_guidance(asked: Asked) -> None:
    """Refuse guidance towards nothing: no class, text or number is told."""
    config = asked.config
    if not passes.is_idle_untold(config):
        return
    is_class = checks.classes(config) and asked.label != classes.NULL
    numbers = [number for each in asked.values.values() for number in each]
    if is_class or asked.texts or any(number is not None for number in numbers):
        return
    kinds = {"values": "--value", "text": "--text"}
    options = [option for kind, option in kinds.items() if kind in config]
    if not options:
        return  # of classes alone: models.classes says so
    what, without = passes.idle_untold(config)
    fix = f"give {' or '.join(options)}, or {without}"
    raise ConfigError(f"{what} what is told, and nothing is; {fix}")
