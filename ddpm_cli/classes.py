"""The class of each image: the one asked for, the null class, or one drawn from its seed."""

from collections.abc import Sequence

from ddpm_cli import generate
from ddpm_cli.config import Config
from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files.checkpoint import DataInfo

NULL = "none"  # the class that label dropout trained


def numbers(
    label: str | None, seeds: Sequence[int], config: Config, info: DataInfo
) -> list[int] | None:
    """The class of each seed: the one asked for, or drawn from the seed itself."""
    taken = config["network"].get("classes", 0)
    if label is None:
        return generate.classes_for(seeds, config, info)
    if not taken:
        raise ConfigError("--class: this model was trained without classes; leave it out")
    names = list(info.classes or map(str, range(taken)))
    if label == NULL:
        return [taken] * len(seeds)
    if label not in names and label not in map(str, range(taken)):
        raise ConfigError(f"--class: no class is named {label!r}; {nearest(label, names)}")
    return [names.index(label) if label in names else int(label)] * len(seeds)


def names(
    label: str | None, config: Config, info: DataInfo, seeds: Sequence[int]
) -> list[str] | None:
    """The name of each seed's class; the number behind the last one is the null class."""
    found = numbers(label, seeds, config, info)
    if found is None:
        return None
    known = [*(info.classes or map(str, range(config["network"]["classes"]))), NULL]
    return [known[number] for number in found]


def fixed(label: str | None, config: Config) -> str | None:
    """The class of images that are given: the one asked for, else the null class if any."""
    return NULL if label is None and config["network"].get("classes") else label
