"""Which data set lies at a path, told by what is there: the settings that read it.

Nothing is decoded, and nothing here needs torch. To know one more format, add a line to TELLERS.
"""

import csv
import gzip
import os
import shlex
import zipfile
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ddpm_cli.data import emoji_names, npz_names, parquet_tables, shards, sources
from ddpm_cli.data.array_faults import LABELS
from ddpm_cli.data.forms import LMDB, PARQUET, TAR, Form
from ddpm_cli.data.sources import DATASET, is_array_name
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.opening import is_image_name
from ddpm_cli.foreign import telling
from ddpm_cli.foreign.kinds import NPY, WAVE, ZIP
from ddpm_cli.settings.toml import parse_set, toml_value

LIMIT = 100_000  # names that are looked at for an image
ROWS = 20  # of a table that are looked at
# Their folders as cs.toronto.edu packs them, and the files of the binary version.
CIFAR_10 = ("cifar-10-batches-bin", "cifar-10-batches-py", "data_batch_1.bin", "test_batch.bin")
CIFAR_100 = ("cifar-100-binary", "cifar-100-python", "train.bin", "test.bin")
WINDOW = 96  # moments of sound, those of the preset series
IDX = b"\0\0\x08\3"  # how IDX images begin

Settings = dict[str, Any]


class Recognized(NamedTuple):
    """What data are, in words, and the settings of `[data]` that read them."""

    what: str
    settings: Settings

    @property
    def words(self) -> str:
        """The settings as options of a command."""
        return assignments(self.settings)


class Teller(NamedTuple):
    """The component that reads a format, what it is called, and what tells it: None for no.

    settings: those beside the name, given the path.
    """

    name: str
    what: str
    settings: Callable[[Path], Settings | None]


def recognized(path: Path) -> Recognized | None:
    """What data lie at a path; None if nothing is there that is known."""
    for teller in TELLERS:
        try:
            settings = teller.settings(path)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, Refusal):
            continue
        if settings is not None:
            return Recognized(teller.what, {"name": teller.name, **settings})
    return None


def assignments(settings: Mapping[str, Any]) -> str:
    """Settings of `[data]` as options of a command, as a shell takes them."""
    pairs = (f"data.{key}={_typed(value)}" for key, value in settings.items())
    return " ".join(f"--set {shlex.quote(pair)}" for pair in pairs)


def _typed(value: Any) -> str:
    """A value of a --set: words as they are, unless they could be read as something else."""
    if isinstance(value, str) and parse_set(f"data.path={value}") == {"data": {"path": value}}:
        return value
    return toml_value(value)


def at(holds: Callable[[Path], bool]) -> Callable[[Path], Settings | None]:
    """The settings of what its path alone reads, if something holds it."""
    return lambda path: {"path": str(path)} if holds(path) else None


def in_shards(form: Form) -> Callable[[Path], Settings | None]:
    """The same of files of a form: one, a folder with some, or a pattern."""
    return at(lambda path: shards.holds(path, form))


def _cifar(binary: str, pickled: str, *files: str) -> Callable[[Path], Settings | None]:
    """Tell a folder of one CIFAR, or that of its files."""

    def settings(path: Path) -> Settings | None:
        is_inside = all((path / name).is_file() for name in files)
        if (path / binary).is_dir() or (path / pickled).is_dir() or is_inside:
            return {"path": str(path)}
        if path.name == pickled and path.is_dir():
            return {"path": str(path.parent)}
        return None

    return settings


def _like_mnist(*folders: str, fashion: bool) -> Callable[[Path], Settings | None]:
    """Tell a folder with the four IDX files, in it or where torchvision puts them.

    fashion: they are told from digits by the names of folders alone.
    """

    def settings(path: Path) -> Settings | None:
        for place in (path, *(path / folder for folder in folders)):
            is_fashion = "fashion" in str(place.absolute()).lower()
            if _holds_idx(place) and is_fashion == fashion:
                return {"path": str(place)}
        return None

    return settings


def _holds_idx(place: Path) -> bool:
    name = "train-images-idx3-ubyte"
    return (place / name).is_file() or (place / f"{name}.gz").is_file()


def _idx(path: Path) -> Settings | None:
    """IDX images, with the labels and the test images that lie beside them under usual names."""
    if not path.is_file():
        return None
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        if file.read(len(IDX)) != IDX:
            return None
    test = _beside(path, ("train", "t10k")) or _beside(path, ("train", "test"))
    settings = {"images": str(path)} | ({"test_images": str(test)} if test else {})
    files = [file for file in (path, test) if file]
    labels = [_beside(images, ("images", "labels"), ("idx3", "idx1")) for images in files]
    if all(labels):
        settings |= dict(zip(("labels", "test_labels"), map(str, labels), strict=False))
    return settings


def _beside(path: Path, *changes: tuple[str, str]) -> Path | None:
    """The file beside another whose name differs so, if there is one."""
    name = path.name
    for old, new in changes:
        name = name.replace(old, new, 1)
    place = path.with_name(name)
    return place if place != path and place.is_file() else None


def _table(path: Path) -> Settings | None:
    """A .csv file, and which of its columns is the class: called so, or the one of words."""
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    if telling.kind(path) is not None:
        return None
    with path.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
        stream.seek(0)
        rows = [
            [cell.strip() for cell in row]
            for row in islice(csv.reader(stream, delimiter=max(",;\t", key=first.count)), ROWS)
            if any(map(str.strip, row))
        ]
    label = _class_column(rows) if rows else ""
    return {"path": str(path)} | ({"label": label} if label else {})


def _npz_table(path: Path) -> Settings | None:
    """The columns of a .npz file, and which is the class; or an array of rows."""
    found = npz_names.rows(path)
    if not found:
        return None
    called = [name for name in found if name.lower() in LABELS]
    words = [name for name, entry in found.items() if entry.kind == "U"]
    label = next((some[0] for some in (called, words) if len(some) == 1 < len(found)), "")
    return {"path": str(path)} | ({"label": label} if label else {})


def _sound(path: Path) -> Settings | None:
    """A sound, or a folder of sounds."""
    files = sorted(path.glob("*.wav")) if path.is_dir() else [path]
    is_sound = bool(files) and all(map(is_wave, files))
    return {"path": str(path), "window": WINDOW} if is_sound else None


def is_wave(path: Path) -> bool:
    """Whether a file is a .wav of sound."""
    found = telling.kind(path)
    return path.suffix.lower() == ".wav" and found is not None and found.name == WAVE


def _class_column(rows: list[list[str]]) -> str:
    """The name or number of the column that holds the class; empty if none seems to."""
    names, body = rows[0], rows[1:]
    if any(map(_is_number, names)):
        names, body = [str(number) for number in range(1, len(rows[0]) + 1)], rows
    called = [name for name in names if name.lower() in LABELS]
    if len(called) == 1:
        return called[0]
    words = [
        name
        for place, name in enumerate(names)
        if body and all(any(row[place:][:1]) and not _is_number(row[place]) for row in body)
    ]
    return words[0] if len(words) == 1 < len(names) else ""


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _has_images(path: Path) -> bool:
    """Whether a folder has an image below it; links are followed where nothing else is there."""
    if not path.is_dir():
        return False
    if (path / DATASET).is_file():
        return True
    return any(map(is_image_name, islice(_below(path), LIMIT))) or bool(sources.below(path))


def _below(path: Path) -> Iterable[str]:
    for folder, _, names in os.walk(path):
        yield from (os.path.join(os.path.relpath(folder, path), name) for name in names)  # noqa: PTH118


def _is_zip_of_images(path: Path) -> bool:
    """Whether a zip file holds images, or arrays as those of EDM, and is no other format."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any(PurePosixPath(name).name == DATASET for name in names):
        return any(is_image_name(name) or is_array_name(name) for name in names)
    return telling.kind(path) == ZIP and any(map(is_image_name, names))


def _are_emoji(path: Path) -> bool:
    """Whether a zip file or a folder holds images of emoji, by the names of all."""
    if path.is_dir():
        return emoji_names.is_set(filter(is_image_name, islice(_below(path), LIMIT)))
    if not _is_zip_of_images(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return emoji_names.is_set(filter(is_image_name, archive.namelist()))


# What is told first counts.
TELLERS = (
    Teller("cifar10", "CIFAR-10", _cifar(*CIFAR_10)),
    Teller("cifar100", "CIFAR-100", _cifar(*CIFAR_100)),
    Teller("fashion-mnist", "Fashion-MNIST", _like_mnist("FashionMNIST/raw", fashion=True)),
    Teller("mnist", "the IDX files of MNIST", _like_mnist("raw", "MNIST/raw", fashion=False)),
    Teller("array", "a table (.parquet)", at(parquet_tables.holds)),
    Teller("parquet", "Parquet files", in_shards(PARQUET)),
    Teller("webdataset", "tar archives, as of WebDataset", in_shards(TAR)),
    Teller("lmdb", "an LMDB, as of LSUN", in_shards(LMDB)),
    Teller("npz", "images in a .npz file", at(npz_names.holds)),
    Teller("array", "rows in a .npz file", _npz_table),
    Teller("series", "sound (.wav)", _sound),
    Teller("idx", "images in an IDX file", _idx),
    Teller("array", "a .npy array", at(lambda path: telling.kind(path) == NPY)),
    Teller("array", "a table (.csv)", _table),
    Teller("emoji", "emoji named by their code points", at(_are_emoji)),
    Teller("archive", "a zip file of images", at(_is_zip_of_images)),
    Teller("folder", "a folder of images", at(_has_images)),
)
