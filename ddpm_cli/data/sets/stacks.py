"""Image sets in arrays that `[data] name` can choose: .npz and IDX files of your own."""

from pathlib import Path
from typing import Literal

from ddpm_cli.data import npz_sets
from ddpm_cli.data.idx_files import idx_names, read_idx
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.image_stacks import Stack
from ddpm_cli.data.loading import Wish
from ddpm_cli.data.places import needed, place
from ddpm_cli.data.row_files import Part, mode_of, row_set
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings.knobs import ColumnList, Fraction, Index, Side

Split = Literal["train", "test"]
Sizing = Literal["error", "resize", "crop"]
UNBOUNDED = 2**20  # MiB: IDX files, which have a limit of their own, are held as they are


def npz(
    split: Split,
    *,
    path: str = "",
    image: str = "",
    label: str = "",
    size: Side = 0,
    mode: Literal["auto", "RGB", "L", "RGBA"] = "auto",
    fit: Sizing = "error",
    labels: Literal["own", "none"] = "own",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """The images in a .npz file: arr_0 [N,H,W,C] of bytes, arr_1 [N] their classes (OpenAI).

    image, label: the names of other arrays; x_train, y_train, x_test and y_test, or train_images
    and so on, are the splits. values_file: as for idx. mode: auto takes the colours there are.
    memory: MiB to hold; what is larger must not be compressed. Other knobs as for folder.
    """
    file = needed(path)
    is_told = labels == "own"
    parts = npz_sets.parts(file, image, label, memory * 2**20, labels=is_told)
    colours = mode_of(parts, mode)
    wish = Wish(size, colours, (), fit, "none", holdout, skip_corrupt, memory, values, values_file)
    return row_set(file, parts, split, wish, labels=is_told)


def idx(
    split: Split,
    *,
    path: str = "",
    images: str = "",
    labels: str = "",
    test_images: str = "",
    test_labels: str = "",
    size: Side = 0,
    mode: Literal["auto", "RGB", "L", "RGBA"] = "auto",
    fit: Sizing = "error",
    values: ColumnList = (),
    values_file: str = "",
    holdout: Fraction = 0.05,
) -> ImageSet:
    """Grey images in IDX files of your own, plain or gzipped; labels are optional.

    path: a folder of files named as MNIST's, instead of the names of each. holdout: the share
    kept for test where there are no test_images. values_file: numbers that the network is told, a
    row for each image to train on and then to test; size, mode, fit, values: as for folder.
    """
    usual = idx_names(needed(path)) if path else ("", "", "", "")
    images, labels = images or usual[0], labels or usual[1]
    test_images, test_labels = test_images or usual[2], test_labels or usual[3]
    parts = {"train": _part(needed(images, "data.images"), labels)}
    if test_images:
        parts["test"] = _part(place(test_images), test_labels)
    if bool(labels) != bool(test_labels) and (test_images or test_labels):
        key = "test_labels" if labels else "labels"
        raise ConfigError(f"data.{key}: needed, as the other images have classes")
    numbers = [word for part in parts.values() for word in part.words or () if word is not None]
    classes = [str(number) for number in range(max(map(int, numbers), default=-1) + 1)]
    wish = Wish(
        size, mode_of(parts, mode), (), fit, "none", holdout, False, UNBOUNDED, values, values_file
    )
    return row_set(place(images), parts, split, wish, classes=classes)


def _part(images: Path, labels: str) -> Part:
    stack = Stack(images, read_idx(images, 3).numpy())
    if not labels:
        return Part(stack)
    numbers = read_idx(place(labels), 1).tolist()
    if len(numbers) != len(stack):
        what = f"{labels}: {len(numbers)} labels for {len(stack)} images in {images}"
        raise Refusal(what)
    return Part(stack, numbers, labels)
