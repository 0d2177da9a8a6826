"""The image sets that `[data] name` can choose: to add one, write a function that returns it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from ddpm_cli.data import measures, places, recognizing, told_values
from ddpm_cli.data.beside import Beside
from ddpm_cli.data.cifar import CIFAR10, CIFAR100, cifar
from ddpm_cli.data.depths import Sizing
from ddpm_cli.data.idx_files import idx_set
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.loading import Wish, file_set
from ddpm_cli.data.sources import Archive, Folder
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import cache
from ddpm_cli.files.images.pixels import Mode
from ddpm_cli.foreign import missing, telling
from ddpm_cli.settings.knobs import ColumnList, Fraction, Index, PixelRange, Side

Split = Literal["train", "test"]
BUNDLED = Path(__file__).parents[2] / "assets" / "mnist"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
DIGITS = tuple("0123456789")
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def mnist(split: Split, *, path: str = "", values: ColumnList = ()) -> ImageSet:
    """Handwritten digits, 28x28 grey: 60000 to train and 10000 to test, bundled.

    `path` names another folder with the four IDX files (LeCun and Cortes 1998). values: numbers
    that the network is told, measured of each image: ink, slant or thickness.
    """
    folder = places.place(path) if path else BUNDLED
    if not _holds_idx(folder):
        raise _no_mnist(folder)
    return _mnist_like(split, folder, DIGITS, values)


def fashion_mnist(split: Split, *, path: str = "", download: bool = False) -> ImageSet:
    """Articles of clothing, 28x28 grey: 60000 to train and 10000 to test.

    Looked for in `path` (also as torchvision lays it out), in Debian's package
    dataset-fashion-mnist and in the cache folder; fetched only with `download` (Xiao 2017).
    """
    if not path and _holds_idx(DEBIAN):
        return _mnist_like(split, DEBIAN, CLOTHES)
    home = places.place(path) if path else cache.folder()
    fetched = home / "FashionMNIST" / "raw"
    place = home if _holds_idx(home) else fetched
    if not _holds_idx(place):
        if not download:
            why = f"Looked in {home}, {fetched} and {DEBIAN}."
            fix = "Install dataset-fashion-mnist (Debian), or add --set data.download=true."
            raise Refusal("fashion-mnist: not found", why, fix)
        _fetch_fashion_mnist(home)
    return _mnist_like(split, place, CLOTHES)


def cifar10(split: Split, *, path: str = "", download: bool = False) -> ImageSet:
    """Photographs of 10 classes, 32x32 RGB: 50000 to train and 10000 to test.

    `path` is the folder with cifar-10-batches-bin or cifar-10-batches-py, by default the cache
    folder; fetched only with `download` (Krizhevsky 2009).
    """
    home = places.place(path) if path else cache.folder()
    return cifar(CIFAR10, split, home, download=download)


def cifar100(split: Split, *, path: str = "", download: bool = False) -> ImageSet:
    """Photographs of 100 classes, 32x32 RGB: 50000 to train and 10000 to test.

    `path` is the folder with cifar-100-binary or cifar-100-python, by default the cache folder;
    fetched only with `download` (Krizhevsky 2009).
    """
    return cifar(
        CIFAR100, split, places.place(path) if path else cache.folder(), download=download
    )


def folder(
    split: Split,
    *,
    path: str = "",
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    range: PixelRange = (),
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["auto", "folders", "csv", "json", "none"] = "auto",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
    beside: str = "",
    beside_mode: Literal["RGB", "L", "RGBA"] = "RGB",
) -> ImageSet:
    """The images in a folder of your own; its subfolders, if any, are the classes.

    size: pixels a side, 0 takes images as they are. range: the values of black and white, as
    [0, 4095]; unless told 0 and 255, of 16-bit grey (mode L) 0 and what its files say or 65535.
    fit: what to do with other sizes; crop keeps the middle. labels: csv reads them from
    labels.csv, metadata.csv or metadata.jsonl in the folder, with the columns file (or file_name)
    and label (or class); json from dataset.json, as EDM has it; folders from the subfolders; auto
    from such a file if one is there, else from the subfolders; none has no classes. Captions are
    the column text (or caption) of such a table, else files as cat.txt beside cat.png. values:
    numbers that the network is told, columns of such a table by name; values_file: a .npy [N, V]
    or .csv file of them instead, a row for each image in the order of the names, and of which
    values names columns, or all of a .npy. holdout: the share kept for test, chosen by the hash
    of the file name, unless the subfolders are train and test. memory: MiB of pixels to hold;
    larger sets are decoded while training. beside: another folder or zip file with an image of
    the same name for each, but for the ending, to be given to a model of task pairs; it is
    brought to the size of its image. beside_mode: its colours.
    """
    wish = Wish(size, mode, range, fit, labels, holdout, skip_corrupt, memory, values, values_file)
    return file_set(
        Folder(places.needed(path)), split, wish, beside=_beside(beside, beside_mode, fit)
    )


def archive(
    split: Split,
    *,
    path: str = "",
    size: Side = 0,
    mode: Literal["RGB", "L", "RGBA"] = "RGB",
    range: PixelRange = (),
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["auto", "folders", "csv", "json", "none"] = "auto",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
    beside: str = "",
    beside_mode: Literal["RGB", "L", "RGBA"] = "RGB",
) -> ImageSet:
    """The images in a zip file, read without unpacking it; knobs as for folder."""
    wish = Wish(size, mode, range, fit, labels, holdout, skip_corrupt, memory, values, values_file)
    return file_set(
        Archive(places.needed(path)), split, wish, beside=_beside(beside, beside_mode, fit)
    )


def _beside(place: str, mode: Mode, fit: Sizing) -> Beside | None:
    """What data.beside says; a mode of nothing is refused."""
    if place:
        return Beside(places.place(place), mode, fit)
    if mode != "RGB":
        raise ConfigError("data.beside_mode: of the images of data.beside; leave it out")
    return None


def _no_mnist(place: Path) -> Refusal:
    """The refusal of a path for MNIST that means other data, as data.name was forgotten."""
    what = f"{place}: the four IDX files of MNIST, the usual data, are not in it"
    told = telling.told(place, "data") or telling.address(place, "data")
    if told is not None:
        return Refusal(what, f"it is {told.what}: {told.way}")
    if not place.is_dir():
        what = "there is no such folder, to hold the four IDX files of MNIST, the usual data"
        return missing.refusal(place, "data", what, f"paths begin in {Path.cwd()}")
    if found := recognizing.recognized(place):
        return Refusal(what, f"it is {found.what}: {found.words}")
    return Refusal(what, "for a folder of your own images add --set data.name=folder")


def _mnist_like(
    split: Split, place: Path, classes: tuple[str, ...], values: Sequence[str] = ()
) -> ImageSet:
    found = _idx_part(split, place, classes)
    if not values:
        return found
    learned = found if split == "train" else _idx_part("train", place, classes)
    first = measures.numbers(learned, values)
    own = first if split == "train" else measures.numbers(found, values)
    rows = torch.cat([first.rows, own.rows])
    train, here = torch.arange(len(first.rows)), torch.arange(len(own.rows)) + len(first.rows)
    return told_values.put(found, first._replace(rows=rows), here, train)


def _idx_part(split: Split, place: Path, classes: tuple[str, ...]) -> ImageSet:
    part = {"train": "train", "test": "t10k"}[split]
    images = _idx_file(place, f"{part}-images-idx3-ubyte")
    return idx_set(images, _idx_file(place, f"{part}-labels-idx1-ubyte"), classes)


def _holds_idx(place: Path) -> bool:
    return _idx_file(place, "train-images-idx3-ubyte").exists()


def _idx_file(place: Path, name: str) -> Path:
    plain = place / name
    return plain if plain.is_file() else place / f"{name}.gz"


def _fetch_fashion_mnist(home: Path) -> None:
    """Let torchvision fetch the files, with its check sums."""
    from torchvision.datasets import FashionMNIST  # 1.4 s, and only needed here

    try:
        FashionMNIST(str(home), download=True)
    except (RuntimeError, OSError) as error:
        raise Refusal(f"fashion-mnist: the download to {home} failed: {error}") from error
