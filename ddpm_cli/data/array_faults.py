"""What is wrong with files that were given as arrays, and what to do about it."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm_cli import console
from ddpm_cli.errors import Refusal
from ddpm_cli.files.row_places import LISTED, SUFFIXES
from ddpm_cli.foreign import missing, telling
from ddpm_cli.foreign.kinds import NPY

if TYPE_CHECKING:
    import numpy as np

LABELS = ("label", "class", "target")  # what columns of classes are called
UNREADABLE = (
    "copy it again if it was cut; or save numbers: numpy.save('FILE.npy', a.astype(float))"
)


def no_file(place: Path) -> Refusal:
    """The refusal of a path where no file is."""
    if place.is_dir():
        fix = f"data.name=array takes {LISTED}, data.name=folder a folder of images"
        return Refusal(f"{place}: a folder", fix)
    fix = f"paths begin in {Path.cwd()}"
    if place.exists():
        return Refusal(f"{place}: not a regular file", fix)
    return missing.refusal(place, "data", "no such file", fix)


def unknown_ending(place: Path, suffixes: Sequence[str] = SUFFIXES) -> Refusal:
    """The refusal of a file that is called like none of rows."""
    listed = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
    if told := telling.told(place, "data", texts=False):
        return told.refusal(place, f"no {listed} file")
    copy = shlex.quote(str(place.with_suffix(".csv")))
    fix = f"if it is a table of numbers: cp {shlex.quote(str(place))} {copy}"
    return Refusal(f"{place}: unknown ending; give a {listed} file", fix)


def refuse_foreign(place: Path) -> None:
    """Refuse a file whose ending does not say what it is."""
    told = telling.told(place, "data", texts=False)
    if told is not None and told.what != NPY.name:
        raise told.refusal(place, f"no {place.suffix} file")


def not_utf8(place: Path) -> Refusal:
    """The refusal of a table in another encoding."""
    convert = f"iconv -f cp1252 -t utf-8 {shlex.quote(str(place))} > utf8.csv"
    return Refusal(f"{place}: not UTF-8 text", f"if it is from Windows: {convert}")


def no_numbers(place: Path, stored: "np.ndarray[Any, Any]") -> Refusal:
    """The refusal of values of another type, with how to make numbers of them."""
    fix = "save numbers: numpy.save('FILE.npy', a.astype(float))"
    if stored.dtype.kind == "c":
        fix = "save both parts: numpy.save('FILE.npy', numpy.stack([a.real, a.imag], 1))"
    elif stored.dtype.names:
        fix = "save a column: numpy.save('FILE.npy', a['NAME'])"
    return Refusal(f"{place}: values of type {stored.dtype}; expected numbers", fix)


def warn_of_label(place: Path, label: str | None, names: Sequence[str] | None) -> None:
    """Warn of a column that is called like a class, and is learned as a number."""
    found = [name for name in names or () if name.lower() in LABELS]
    if found and label is None:
        fix = f"if it is the class: --set data.label={shlex.quote(found[0])}"
        console.warn(f"{place}: the column {found[0]} is learned as a number; {fix}")


def warn_of_axes(place: Path, stored: "np.ndarray[Any, Any]") -> None:
    """Warn of bytes that look like images, but for the order of their axes."""
    if stored.dtype.name != "uint8" or min(stored.shape[-3:], default=0) < 1:
        return
    if stored.ndim == 3:
        move = "a[:, None]"
    elif stored.ndim == 4 and stored.shape[3] in (1, 3, 4) and stored.shape[1] not in (1, 3, 4):
        move = "a.transpose(0, 3, 1, 2)"
    else:
        return
    what = f"{place}: if these are images, their channels come first, [N,C,H,W]"
    console.warn(f"{what}: numpy.save('FILE.npy', {move})")
