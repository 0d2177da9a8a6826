"""What files of arrays call the images in them, and how to tell what else there is; no torch."""

import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from ddpm_cli.errors import Refusal
from ddpm_cli.files import tensor_file

SUFFIXES = (".npy", ".npz", ".safetensors")
IMAGES = ("images", "samples", "arr_0")  # entries, the first one that is there counts
LABELS = ("classes", "labels", "arr_1")
# What reading a zip file raises if it is damaged, beside OSError.
DAMAGED = (ValueError, EOFError, zipfile.BadZipFile, zlib.error)
_STRIDE = 2**20  # bytes that are unpacked at once


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


def damage(path: Path) -> Refusal | None:
    """The refusal of a .npz file by the first array that does not unpack; None if all of them do.

    All of it is read, so it is asked for once reading has failed.
    """
    with suppress(OSError, *DAMAGED), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            try:
                with archive.open(entry) as stream:
                    while stream.read(_STRIDE):
                        pass
            except (OSError, RuntimeError, *DAMAGED):  # of encrypted ones a RuntimeError
                what = f"damaged: {entry.filename} in it does not unpack"
                return Refusal(f"{path}: {what}", "copy or download it again")
    return None
