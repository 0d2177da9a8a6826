"""Folders and archives of small images, as data sets."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.sets import images as sets
from ddpm_cli.data.splits import Split
from ddpm_cli.files.images import pixels as images
from ddpm_cli.models import datasets


def picture(value: int, height: int = 4, width: int = 6) -> bytes:
    """A PNG file of one colour."""
    return images.encode_png(torch.full((3, height, width), value, dtype=torch.uint8))


def fill(root: Path, files: dict[str, bytes]) -> Path:
    """Write files below root."""
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pack(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def opened(
    kind: str, place: Path, files: dict[str, bytes], split: Split = "train", **knobs: Any
) -> ImageSet:
    """Make the files a folder or an archive and open it."""
    if kind == "folder":
        return sets.folder(split, path=str(fill(place / "set", files)), **knobs)
    return sets.archive(split, path=str(pack(place / "set.zip", files)), **knobs)


KINDS = pytest.mark.parametrize("kind", ["folder", "archive"])


def values(found: ImageSet) -> list[int]:
    """The colours of all images, in order."""
    return found[torch.arange(len(found))][0][:, 0, 0, 0].tolist()


MEMORY = pytest.mark.parametrize("memory", [0, 1])

FLAT = {f"{number:02}.png": picture(number) for number in range(20)}


def rows(found: ArraySet) -> torch.Tensor:
    """All rows of a set in the units of its data."""
    return datasets.data_info(found).restore(found[torch.arange(len(found))][0])
