"""The class of each image: asked for, taking turns, the null class, or drawn from its seed."""

import csv
import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

import torch

from ddpm_cli import console
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.errors import ConfigError, nearest, one_line, spelled
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.titles import is_number
from ddpm_cli.settings import checks, passes
from ddpm_cli.settings.config import Config

NULL = "none"  # the class that label dropout trained
ALL = "all"
OWN = "own"  # the class that a data set gives each image
SHOWN = 20  # classes that are named when several are chosen
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
SPAN = re.compile(rf"({_NUMBER})(?:\s*-\s*({_NUMBER}))?")  # a number, or a range of them


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
    if passes.is_idle_untold(config) and len(checks.told(config)) == 1:
        what, without = passes.idle_untold(config)
        raise ConfigError(f"--class {NULL}: {what} a class; name one with --class, or {without}")


def known(config: Config, info: DataInfo) -> list[str]:
    """The names of a model's classes, in the order of their numbers."""
    return list(info.classes or map(str, range(checks.classes(config))))


def listed(label: str, names: Sequence[str]) -> list[int]:
    """The numbers of the classes that --class asks for: 7, cat, cat,dog, 0-4,8, all or none.

    Where any name is a number, numbers and ranges mean names, else places from 0; a whole name
    counts before both. The null class is behind the last one.
    """
    if label == NULL:
        return [len(names)]
    if label in names:  # with commas in it, perhaps
        return [names.index(label)]
    return [number for part in _parts(label, names) for number in _numbers(part, names)]


def _parts(label: str, names: Sequence[str]) -> list[str]:
    """What stands between commas; names that have commas in them stay whole, quoted or not."""
    if '"' in label and {*(quoted := _unquoted(label))} <= {*names}:
        return quoted
    known, most = set(names), 1 + max(name.count(",") for name in names)
    words, parts = label.split(","), []
    while words:
        runs = [",".join(words[:length]).strip() for length in range(1, most + 1)]
        length = max((n for n, run in enumerate(runs, 1) if run in known), default=1)
        parts.append(runs[length - 1])
        words = words[length:]
    return parts


def _unquoted(label: str) -> list[str]:
    """What stands between commas as in a line of a .csv file, where names may have quotes."""
    return next(csv.reader([label], skipinitialspace=True), [])


def _numbers(part: str, names: Sequence[str]) -> list[int]:
    """The numbers of one name, number, or range of numbers."""
    if part in names:
        return [names.index(part)]
    if part == ALL:
        return list(range(len(names)))
    if part == NULL:
        raise ConfigError(f"--class: {NULL} is no class, and stands alone; leave out the others")
    values = {number: float(name) for number, name in enumerate(names) if is_number(name)}
    span = SPAN.fullmatch(part)
    ends = [end for end in span.groups() if end] if span else []
    if ends and values:
        return _named(part, ends, values, names)
    if ends and all(map(str.isdigit, ends)):
        low, high = (int(end) if len(end) < 10 else len(names) for end in (ends[0], ends[-1]))
        if low <= high < len(names):
            return list(range(low, high + 1))
    raise ConfigError(f"--class: no class is named {part!r}; {nearest(part, names)}")


def _named(
    part: str, ends: Sequence[str], values: Mapping[int, float], names: Sequence[str]
) -> list[int]:
    """The numbers of the classes whose names are numbers in a range, in their order.

    values: what those names are worth, by the numbers of the classes. Ends beyond all names are
    refused, as whoever gives them means something else; so is one number that is no name.
    """
    order, (low, high) = sorted(values, key=values.__getitem__), (float(ends[0]), float(ends[-1]))
    least, most = order[0], order[-1]
    chosen = [number for number in order if low <= values[number] <= high]
    if chosen and len(ends) == 2 and values[least] <= low and high <= values[most]:
        return chosen
    if low > high:
        fix = "a range runs upwards"
    elif chosen and len(ends) == 2:
        fix = f"the names go from {names[least]} to {names[most]}"
    else:
        below = [number for number in order if values[number] < low][-1:]
        above = [number for number in order if values[number] > high][:1]
        meant = chosen or [*below, *above]
        fix = f"did you mean {' or '.join(names[number] for number in meant)}?"
    raise ConfigError(f"--class: no class is named {part!r}; {fix}")


def say(label: str | None, config: Config, info: DataInfo) -> None:
    """Say which classes --class chose, if it chose any, in the words of the data."""
    if label is None or label == OWN:
        return
    known_names = [*known(config, info), NULL]
    chosen = [one_line(spelled(known_names[number])) for number in listed(label, known_names[:-1])]
    more = f", ... ({len(chosen)} in all)" if len(chosen) > SHOWN else ""
    console.say(f"classes: {', '.join(chosen[:SHOWN])}{more}")


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


def classes_for(seeds: Sequence[int], config: Config, info: DataInfo) -> list[int] | None:
    """The class of each seed if none is asked for: drawn by data frequency, if there are any."""
    classes = checks.classes(config)
    if not classes:
        return None
    shares = info.frequencies or (1 / classes,) * classes
    bounds = torch.tensor(shares, dtype=torch.float64).cumsum(0).tolist()
    drawn = Randomness(config["compute"]["rng"]).rng(seeds, "class").uniform(1)[:, 0].tolist()
    return [min(bisect_left(bounds, chance), len(shares) - 1) for chance in drawn]
