"""How to give classes to data that have none, by what the data are."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ddpm_cli.data.sources import Folder
from ddpm_cli.errors import Refusal

_NUMBERED = re.compile(r"(.*[A-Za-z])([_-])\d+")  # dog_001

OWN = {
    "parquet": "name the column of the class: --set data.label=COLUMN",
    "webdataset": "put STEM.cls beside STEM.jpg, or name what says it: --set data.label=KEY",
    "npz": "name the array of the classes: --set data.label=ARRAY",
}


def ways(data: Mapping[str, Any]) -> list[str]:
    """What to do, in one or two lines; nothing for data that cannot have classes."""
    if data["name"] == "array":
        return ["name the column of the class: --set data.label=COLUMN"]
    if data["name"] in ("parquet", "webdataset", "npz", "lmdb", "torchvision"):
        if data.get("labels") == "none":
            return ["the set's own classes come with --set data.labels=own"]
        return [OWN[data["name"]]] if data["name"] in OWN else []
    if data["name"] not in ("folder", "archive"):
        return []
    if data.get("labels") == "none":
        return ["the folders are the classes with --set data.labels=folders"]
    place = data["path"]
    tables = f"a table {place}/labels.csv with the columns file,label and --set data.labels=csv"
    lines = [f"give each class a folder in it ({place}/dog/001.png), or {tables}"]
    if data["name"] == "folder" and (sign := _separator(_names(place))):
        loop = f'for f in *{sign}*.*; do echo "$f,${{f%{sign}*}}"; done'
        made = f"cd {shlex.quote(place)}; (echo file,label; {loop}) > labels.csv"
        lines.append(f"of names as dog{sign}001.png it is made by: ({made})")
    return lines


def _names(place: str) -> Sequence[str]:
    try:
        return Folder(Path(place).expanduser()).names
    except Refusal:
        return ()


def _separator(names: Sequence[str]) -> str:
    """What stands between class and number in all names of a folder; empty if they differ."""
    matches = [_NUMBERED.fullmatch(PurePosixPath(name).stem) for name in names]
    if not matches or not all(matches) or any("/" in name for name in names):
        return ""
    signs, words = zip(*((match[2], match[1]) for match in matches if match), strict=True)
    few = 1 < len(set(words)) < len(names)
    return signs[0] if few and len(set(signs)) == 1 else ""
