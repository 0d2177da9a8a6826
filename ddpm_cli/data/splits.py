"""Decide from the names of image files which are for training and what class each has."""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ddpm_cli.data.class_tables import in_order, read
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

Split = Literal["train", "test"]
Labels = Literal["folders", "csv", "none"]


class Arrangement(NamedTuple):
    """The files of one split, the number of each one's class, and the names of the classes.

    without: files that are left out, as they have no class, and why.
    """

    names: list[str]
    labels: list[int]
    classes: tuple[str, ...] | None
    without: Mapping[str, str] = {}


def arrange(
    files: Files, split: Split, holdout: float, labels: Labels, told: Told | None = None
) -> Arrangement:
    """Choose the files of a split and number their classes.

    These are told by the set itself, the first folders of the names, or what a CSV file says.

    Two folders named train and test are the splits. Otherwise the share `holdout` of the files,
    those with the lowest SHA-256 of their name, is for test: no machine and no order matters.
    """
    inner = dict(zip(files.names, _without_common_folders(files.names), strict=True))
    if {name.partition("/")[0] for name in inner.values()} == {"train", "test"}:
        chosen = [name for name in inner if inner[name].startswith(f"{split}/")]
        inner = {name: rest.partition("/")[2] for name, rest in inner.items()}
    else:
        held = _held_out(list(inner.values()), holdout)
        chosen = [name for name in inner if (inner[name] in held) == (split == "test")]
    if not chosen:
        what = f"{files.root}: none of its {len(inner)} images is for {split}"
        raise Refusal(what, _share(len(inner), holdout))
    if told is not None and told.classes is not None:
        known = [name for name in chosen if name in told.numbers]
        without = {name: told.without[name] for name in chosen if name in told.without}
        return Arrangement(known, [told.numbers[name] for name in known], told.classes, without)
    if labels == "csv":
        by_name, listed = read(files)
        return Arrangement(chosen, [by_name[name] for name in chosen], listed)
    classes = _classes(files, inner) if labels == "folders" else ()
    numbers = {label: number for number, label in enumerate(classes)}
    chosen_labels = [numbers.get(inner[name].partition("/")[0], 0) for name in chosen]
    return Arrangement(chosen, chosen_labels, classes or None)


def _share(count: int, holdout: float) -> str:
    """Which share for test leaves images on both sides."""
    if count < 2:
        return "Training takes one image or more, and one more to test (data.holdout)."
    usual = max(0.05, math.ceil(100 / count) / 100)
    return f"The share for test is data.holdout={holdout:g}: --set data.holdout={usual:g}"


def _without_common_folders(names: Sequence[str]) -> list[str]:
    """Drop the folders that all names start with: they tell no classes apart."""
    parts = [name.split("/") for name in names]
    shortest = min(map(len, parts)) - 1
    common = 0
    while common < shortest and len({part[common] for part in parts}) == 1:
        common += 1
    return ["/".join(part[common:]) for part in parts]


def _held_out(names: list[str], share: float) -> set[str]:
    ranked = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return set(ranked[: int(len(names) * share + 0.5)])


def _classes(files: Files, inner: dict[str, str]) -> tuple[str, ...]:
    loose = [name for name, rest in inner.items() if "/" not in rest]
    if len(loose) == len(inner):
        return ()
    if loose:
        fix = "Move it into one of them, or add --set data.labels=none."
        raise Refusal(f"{files.place(loose[0])}: it lies beside the class folders", fix)
    return in_order({rest.partition("/")[0] for rest in inner.values()})
