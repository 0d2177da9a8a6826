"""Files of rows of numbers, whoever reads them: what may be read, and the arrays in them."""

import math
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ddpm_cli.data import array_faults
from ddpm_cli.data.array_set import VALUE_LIMIT
from ddpm_cli.errors import Refusal
from ddpm_cli.files import array_file
from ddpm_cli.files.array_file import IMAGES
from ddpm_cli.files.records import METADATA_KEY
from ddpm_cli.files.row_places import SUFFIXES
from ddpm_cli.foreign import telling

BYTE_LIMIT = 2**31  # of a file


@contextmanager
def reading(place: Path, suffixes: Sequence[str] = SUFFIXES) -> Iterator[None]:
    """Read a file within: no file, one that is too large or of another ending is refused."""
    try:
        if not place.is_file():
            raise array_faults.no_file(place)
        if place.stat().st_size > BYTE_LIMIT:
            raise Refusal(f"{place}: larger than the limit of {BYTE_LIMIT} bytes")
        if place.suffix.lower() not in suffixes:
            raise array_faults.unknown_ending(place, suffixes)
        yield
    except OSError as error:
        raise Refusal(f"{place}: {error.strerror or error}") from error


def array(place: Path) -> Any:
    """The array that a file holds; None if it is a table of columns.

    A .npz file is an array if it holds one of more axes than one and nothing else, or what
    `ddpm sample` wrote.
    """
    if place.suffix.lower() == ".npy":
        return stored(place)
    if place.suffix.lower() != ".npz":
        return None
    every = entries(place)
    name = next((name for name in IMAGES if name in every), "") if METADATA_KEY in every else ""
    if not name and len(every) == 1:
        name = next(iter(every))
    if not name or (every[name].ndim < 2 and METADATA_KEY not in every):
        return None
    return _numbers(place, every[name])


def stored(place: Path) -> Any:
    """The array in a .npy file; one that holds Python objects is refused, never unpickled."""
    array_faults.refuse_foreign(place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = np.load(place, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy reads the header with Python's own parser
        plain = isinstance(error, ValueError) and len(error.args) == 1
        why = (str(error).splitlines() or ["damaged"])[0] if plain else "its header is damaged"
        raise Refusal(f"{place}: no readable .npy file: {why}", array_faults.UNREADABLE) from error
    return _numbers(place, found)


def entries(place: Path) -> dict[str, Any]:
    """The arrays of a .npz file by their names; Python objects are refused, never unpickled."""
    try:
        with zipfile.ZipFile(place) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > BYTE_LIMIT:
            raise Refusal(f"{place}: larger than the limit of {BYTE_LIMIT} bytes, unpacked")
        with np.load(place, allow_pickle=False) as found:
            every = {name: found[name] for name in found.files}
    except (OSError, Refusal):
        raise
    except Exception as error:  # NumPy reads the headers with Python's own parser
        if damaged := array_file.damage(place):
            raise damaged from error
        if told := telling.told(place, "data", texts=False):
            raise told.refusal(place, "no readable .npz file of columns") from error
        raise Refusal(f"{place}: no readable .npz file", array_faults.UNREADABLE) from error
    if sum(math.prod(values.shape) for values in every.values()) > VALUE_LIMIT:
        raise Refusal(f"{place}: more than the limit of {VALUE_LIMIT} values")
    return every


def _numbers(place: Path, found: Any) -> Any:
    """An array of numbers; others are refused."""
    if found.dtype.kind not in "biuf":
        raise array_faults.no_numbers(place, found)
    return found
