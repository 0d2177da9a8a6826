"""Decide from the names of image files which are for training and what class each has."""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from ddpm_cli.data import dataset_json, image_tables, texts
from ddpm_cli.data.class_tables import in_order
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

FOLDERS = "the folders' names"  # where classes come from
Split = Literal["train", "test"]
Labels = Literal["auto", "folders", "csv", "json", "none"]


HELD = ("test", "val", "valid", "validation")  # what folders of images not to train on are called


class Arrangement(NamedTuple):
    """The files of one split, the number of each one's class, and the names of the classes.

    told: what the set says of all its images; without: files that it gives no class, left out.
    """

    names: list[str]
    labels: list[int]
    classes: tuple[str, ...] | None
    told: Told
    without: Sequence[str] = ()


def arrange(
    files: Files, split: Split, holdout: float, labels: Labels, told: Told | None = None
) -> Arrangement:
    """Choose the files of a split and number their classes.

    These are told by the set itself or by tables (dataset_json, image_tables), or are the first
    folders of the names.

    Folders named train and test, or train and val, are the splits. Otherwise the share `holdout`
    of the files, those with the lowest SHA-256 of their name, is for test: no machine and no order
    matters. So are those that the set itself holds back, before the others.
    """
    inner = dict(zip(files.names, without_common_folders(files.names), strict=True))
    if parts := _parts({name.partition("/")[0] for name in inner.values()}):
        chosen = [name for name in inner if inner[name].startswith(f"{parts[split]}/")]
        inner = {name: rest.partition("/")[2] for name, rest in inner.items()}
    else:
        chosen = _chosen(inner, split, holdout, told.held if told else ())
    if not chosen:
        what = f"{files.root}: none of its {len(inner)} images is for {split}"
        raise Refusal(what, _share(len(inner), holdout))
    told = told or _told(files, labels)
    if told.classes:
        known = [name for name in chosen if name in told.numbers]
        without = [name for name in chosen if name not in told.numbers]
        numbered = [told.numbers[name] for name in known]
        return Arrangement(known, numbered, told.classes, told, without)
    is_plain = labels == "none" or told.classes is not None
    classes = () if is_plain else _classes(files, inner)
    numbers = {label: number for number, label in enumerate(classes)}
    chosen_labels = [numbers.get(inner[name].partition("/")[0], 0) for name in chosen]
    said = told if told.classes is not None else told._replace(origin=FOLDERS)
    return Arrangement(chosen, chosen_labels, classes or None, said)


def _chosen(
    inner: Mapping[str, str], split: Split, holdout: float, kept: Sequence[str]
) -> list[str]:
    """The files of a split; kept: those for test in any case, which are the first there."""
    known = frozenset(kept)
    others = {name: rest for name, rest in inner.items() if name not in known}
    held = _held_out([*others.values()], holdout)
    if split == "train":
        return [name for name, rest in others.items() if rest not in held]
    return [*kept, *(name for name, rest in others.items() if rest in held)]


def _told(files: Files, labels: Labels) -> Told:
    """What files beside the images say of them; nothing where none is to be read."""
    told = image_tables.texts_alone(files) if labels == "none" else None
    if labels in ("auto", "json"):
        told = dataset_json.read(files, needed=labels == "json")
    if told is None and labels in ("auto", "csv"):
        told = image_tables.read(files, needed=labels == "csv")
    told = told or Told(origin=FOLDERS)
    return told._replace(text=texts.beside(files)) if told.text is None else told


def _parts(folders: set[str]) -> dict[Split, str] | None:
    """Which of the outermost folders are the splits, if all are; val is the test without one."""
    held = next((name for name in HELD if name in folders), None)
    if held is None or not {"train"} < folders <= {"train", *HELD}:
        return None
    return {"train": "train", "test": held}


def _share(count: int, holdout: float) -> str:
    """Which share for test leaves images on both sides."""
    if count < 2:
        return "Training takes one image or more, and one more to test (data.holdout)."
    usual = max(0.05, math.ceil(100 / count) / 100)
    return f"The share for test is data.holdout={holdout:g}: --set data.holdout={usual:g}"


def without_common_folders(names: Sequence[str]) -> list[str]:
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
