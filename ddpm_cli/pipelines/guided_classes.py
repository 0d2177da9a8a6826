"""Which classes --class is about where guides know some, and which of them a model is told."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.guides.parts import classifiers
from ddpm_cli.guides.parts.user_functions import Function
from ddpm_cli.models import classes
from ddpm_cli.settings import checks
from ddpm_cli.settings.checks import CLASSIFIER
from ddpm_cli.settings.code_names import CODE
from ddpm_cli.settings.config import Config


class Space(NamedTuple):
    """The classes that --class is about: a classifier's if there is one, else the model's."""

    config: Config
    info: DataInfo

    @property
    def names(self) -> list[str]:
        """The names of all these classes."""
        return classes.known(self.config, self.info)


def classifiers_of(config: Config) -> list[str]:
    """The classifiers that a configuration names."""
    return [guide["model"] for guide in config["guides"] if guide["name"] == CLASSIFIER]


def space_of(config: Config, info: DataInfo, functions: Mapping[str, Function]) -> Space:
    """Where a configuration's guides look for the classes of images.

    A function names none: they have the model's names if there are as many, or numbers.
    """
    models = classifiers_of(config)
    if len(models) > 1:
        raise ConfigError(f"guides: {len(models)} classifiers; give one")
    if not models:
        return Space(config, info)
    if models[0] == CODE:
        count = functions[CLASSIFIER].classes
        names = info.classes if len(info.classes or ()) == count else None
        shares = info.frequencies if names else None
        network = {"network": {"classes": count}}
        return Space(network, info._replace(classes=names, frequencies=shares))
    header = classifiers.named(models[0], info)[1]
    return Space(header.config, header.data)


class Told(NamedTuple):
    """What the model's network is told of the classes that --class names, by their names."""

    space: Space
    label: str | None
    config: Config
    info: DataInfo

    def numbers(self, seeds: Sequence[int]) -> list[int] | None:
        """The numbers of the classes of seeds; None for a model without classes."""
        if not checks.classes(self.config):
            return None
        if self.space.config is self.config or self.label == classes.NULL:
            return classes.numbers(self.label, seeds, self.config, self.info)
        known = classes.known(self.config, self.info)
        names = classes.names(self.label, *self.space, seeds) or []
        if missing := [name for name in names if name not in known]:
            fix = "add --unconditional"
            raise ConfigError(f"--class: the model has no class {missing[0]!r}; {fix}")
        return [known.index(name) for name in names]

    def check(self) -> None:
        """Refuse classes that the model does not have, of all that may come up."""
        self.numbers(range(len(self.space.names)))
