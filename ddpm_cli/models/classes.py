"""The class of each image: asked for, taking turns, the null class, or drawn from its seed."""

from bisect import bisect_left
from collections.abc import Sequence

import torch

from ddpm_cli.diffusion.guidance import is_guiding
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.errors import ConfigError, nearest
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config

NULL = "none"  # the class that label dropout trained
ALL = "all"
OWN = "own"  # the class that a data set gives each image


def numbers(
    label: str | None, seeds: Sequence[int], config: Config, info: DataInfo
) -> list[int] | None:
    """The class of each seed: the one asked for, or drawn from the seed itself.

    Of several that are asked for image i gets number (seed mod how many), whatever is beside it.
    """
    if label is None:
        return classes_for(seeds, config, info)
    if not checks.classes(config):
        raise ConfigError("--class: this model was trained without classes; leave it out")
    if label == NULL:
        _check_null(config)
    chosen = listed(label, known(config, info))
    return [chosen[seed % len(chosen)] for seed in seeds]


def _check_null(config: Config) -> None:
    """Refuse the null class where it was not trained, and to be guided from it to itself."""
    if not config.get("train", {}).get("drop_class", 1):
        what = "this model always saw the class (train.drop_class=0)"
        raise ConfigError(f"--class {NULL}: {what}; name one with --class")
    if is_guiding(config.get("guidance", {})):
        fix = "name one with --class, or --set guidance.scale=1"
        raise ConfigError(f"--class {NULL}: guidance.scale pulls towards a class; {fix}")


def known(config: Config, info: DataInfo) -> list[str]:
    """The names of a model's classes, in the order of their numbers."""
    return list(info.classes or map(str, range(checks.classes(config))))


def listed(label: str, names: Sequence[str]) -> list[int]:
    """The numbers of the classes that --class asks for: 7, cat, cat,dog, 0-4,8, all or none.

    A name counts before a number, and the null class is behind the last one.
    """
    if label == NULL:
        return [len(names)]
    if label == ALL:
        return list(range(len(names)))
    if label in names:  # with commas in it, perhaps
        return [names.index(label)]
    return [number for part in label.split(",") for number in _numbers(part.strip(), names)]


def _numbers(part: str, names: Sequence[str]) -> list[int]:
    """The numbers of one name, number, or range of numbers."""
    if part in names:
        return [names.index(part)]
    first, dash, last = part.partition("-")
    digits = [text for text in (first, last if dash else first) if text.isascii()]
    if len(digits) == 2 and all(map(str.isdigit, digits)):
        low, high = (int(text) if len(text) < 10 else len(names) for text in digits)
        if low <= high < len(names):
            return list(range(low, high + 1))
    raise ConfigError(f"--class: no class is named {part!r}; {nearest(part, names)}")


def names(
    label: str | None, config: Config, info: DataInfo, seeds: Sequence[int]
) -> list[str] | None:
    """The name of each seed's class; the number behind the last one is the null class."""
    numbered = numbers(label, seeds, config, info)
    return (
        None if numbered is None else [[*known(config, info), NULL][number] for number in numbered]
    )


def one(label: str | None, config: Config, info: DataInfo) -> int | None:
    """The number of a class; several are refused, as for images that belong together."""
    numbered = numbers(label, [0], config, info)
    if label is not None and len(listed(label, known(config, info))) > 1:
        raise ConfigError(f"--class {label}: several classes; give one")
    return None if numbered is None else numbered[0]


def fixed(label: str | None, config: Config) -> str | None:
    """The class of images that are given: the one asked for, else the null class if any."""
    return NULL if label is None and checks.classes(config) else label


def class_of(seed: int, classes: int, info: DataInfo) -> int:
    """The class an image gets when none is asked for: drawn from its seed by data frequency."""
    shares = info.frequencies or (1 / classes,) * classes
    drawn = float(Rng([keyed(seed, "class")]).uniform(1)[0, 0])
    bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0).tolist()
    return min(bisect_left(bounds, drawn), len(shares) - 1)


def classes_for(seeds: Sequence[int], config: Config, info: DataInfo) -> list[int] | None:
    """A class for each seed if the network takes classes, else None."""
    classes = checks.classes(config)
    if not classes:
        return None
    return [class_of(seed, classes, info) for seed in seeds]
