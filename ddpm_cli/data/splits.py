"""Decide from the names of image files which are for training and what class each has."""

import hashlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from ddpm_cli.data import image_tables
from ddpm_cli.data.class_tables import in_order
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

Split = Literal["train", "test"]
Labels = Literal["auto", "folders", "csv", "none"]


class Arrangement(NamedTuple):
    """The files of one split, the number of each one's class, and the names of the classes.

    origin: where the classes come from, in words; text: what is written of a file by its name, if
    anything is; notes: what is not read; without: what is left out for having no class, and why.
    """

    names: list[str]
    labels: list[int]
    classes: tuple[str, ...] | None
    origin: str = "the folders' names"
    text: Callable[[str], str | None] | None = None
    notes: tuple[str, ...] = ()
    without: Mapping[str, str] = {}


def arrange(
    files: Files, split: Split, holdout: float, labels: Labels, told: Told | None = None
) -> Arrangement:
    """Choose the files of a split and number their classes.

    These are told by the set itself or by tables (image_tables), or the first folders of the
    names.

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
    if told is None and labels in ("auto", "csv"):
        told = image_tables.read(files, needed=labels == "csv")
    about: dict[str, Any] = {"notes": told.notes, "text": told.text} if told is not None else {}
    if told is not None and told.classes is not None:
        known = [name for name in chosen if name in told.numbers]
        about["without"] = {name: told.without[name] for name in chosen if name in told.without}
        numbered = [told.numbers[name] for name in known]
        return Arrangement(known, numbered, told.classes, told.origin, **about)
    classes = () if labels == "none" else _classes(files, inner)
    numbers = {label: number for number, label in enumerate(classes)}
    chosen_labels = [numbers.get(inner[name].partition("/")[0], 0) for name in chosen]
    return Arrangement(chosen, chosen_labels, classes or None, **about)


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
