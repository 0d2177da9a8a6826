"""What files of arrays call the images in them, and how to tell what else there is; no torch."""

import zipfile
from pathlib import Path

from ddpm_cli.errors import Refusal
from ddpm_cli.files import tensor_file

SUFFIXES = (".npy", ".npz", ".safetensors")
IMAGES = ("images", "samples", "arr_0")  # entries, the first one that is there counts
LABELS = ("classes", "labels", "arr_1")


def names(path: Path) -> frozenset[str]:
    """The names of the arrays in a .npz or .safetensors file."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return frozenset(name.removesuffix(".npy") for name in archive.namelist())
        with path.open("rb") as stream:
            return frozenset(tensor_file.read(stream).layout)
    except (ValueError, zipfile.BadZipFile) as error:
        raise Refusal(f"{path}: no readable {path.suffix} file: {error}") from None
