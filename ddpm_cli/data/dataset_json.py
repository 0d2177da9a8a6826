"""Classes from a file dataset.json among images, as dataset_tool of EDM and StyleGAN writes it."""

import json
from itertools import takewhile
from typing import Any

from ddpm_cli.data import own_classes
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import DATASET, Files
from ddpm_cli.errors import Refusal

WITHOUT = "--set data.labels=none trains without classes"
SHOWN = 60  # letters of an entry in a message


def read(files: Files, *, needed: bool) -> Told | None:
    """What dataset.json says: {"labels": [["00000/img00000000.png", 6], ...]}, or null for none.

    It lies beside the outermost folders. None is the answer of a set without it; needed: it was
    asked for.
    """
    found = _find(files)
    if found is None:
        if not needed:
            return None
        fix = "Add it, or set data.labels=folders."
        raise Refusal(f"{files.root}: {DATASET} is not in it", fix)
    folder, data = found
    place = files.place(folder + DATASET)
    said = _object(data, place)
    if "labels" not in said and not needed:
        return None  # of another program
    listed = said.get("labels")
    if listed is None:
        return Told(classes=(), origin=DATASET)
    if not isinstance(listed, list):
        raise Refusal(f"{place}: its labels are no list", WITHOUT)
    by_name = _pairs(listed, place)
    words = [by_name.get(name.removeprefix(folder)) for name in files.names]
    known = [word for word in words if word is not None]
    if not known:
        raise Refusal(f"{place}: it lists none of the images", WITHOUT)
    if min(known) < 0:
        raise Refusal(f"{place}: a class {min(known)}; they count from 0", WITHOUT)
    reasons = dict.fromkeys(files.names, f"no class in {DATASET}")
    classes = [str(number) for number in range(own_classes.counted(max(known) + 1, place))]
    return own_classes.told(files, words, classes, reasons)._replace(origin=DATASET)


def _pairs(listed: list[Any], place: str) -> dict[str, int]:
    """The number of the class of each file."""
    by_name = {}
    for entry in listed:
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            shown = json.dumps(entry)[:SHOWN]
            raise Refusal(f"{place}: {shown} is no pair of a file and a class", WITHOUT)
        name, label = entry
        if isinstance(label, bool) or not isinstance(label, int):
            raise Refusal(f"{place}: {name[:SHOWN]!r} has no whole number as its class", WITHOUT)
        by_name[name.replace("\\", "/")] = label
    return by_name


def _find(files: Files) -> tuple[str, bytes] | None:
    """The folder of the file above all images, whose names are sorted, and what it holds."""
    first, last = files.names[0].split("/")[:-1], files.names[-1].split("/")[:-1]
    parts = [
        one
        for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    ]
    for depth in range(len(parts) + 1):
        folder = "".join(f"{part}/" for part in parts[:depth])
        data = files.beside(folder + DATASET)
        if data is not None:
            return folder, data
    return None


def _object(data: bytes, place: str) -> dict[str, Any]:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError):
        raise Refusal(f"{place}: damaged, no JSON", WITHOUT) from None
    if not isinstance(said, dict):
        raise Refusal(f"{place}: no object with labels", WITHOUT)
    return said
