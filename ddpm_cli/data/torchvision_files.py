"""The image classification sets of torchvision by name, read from where they lie."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from ddpm_cli.data.image_stacks import Stack, png
from ddpm_cli.data.row_files import Part
from ddpm_cli.errors import Refusal, importing

# How a set is asked for its images to train on and to test; those of one kind alone are split.
_PARTS: dict[str, tuple[Mapping[str, Any], ...]] = {
    "is_train": ({"train": True}, {"train": False}),
    "split": ({"split": "train"}, {"split": "test"}),
    "val": ({"split": "train"}, {"split": "val"}),
    "trainval": ({"split": "trainval"}, {"split": "test"}),
    "places": ({"split": "train-standard"}, {"split": "val"}),
    "balanced": ({"split": "balanced", "train": True}, {"split": "balanced", "train": False}),
    "omniglot": ({"background": True}, {"background": False}),
    "year": ({"version": "2021_train"}, {"version": "2021_valid"}),
    "all": ({},),
}
SETS = {
    "CIFAR10": "is_train", "CIFAR100": "is_train", "FashionMNIST": "is_train",
    "KMNIST": "is_train", "MNIST": "is_train", "QMNIST": "is_train", "USPS": "is_train",
    "CLEVRClassification": "val", "ImageNet": "val", "Imagenette": "val",
    "Country211": "split", "DTD": "split", "FER2013": "split", "Flowers102": "split",
    "Food101": "split", "GTSRB": "split", "LFWPeople": "split", "PCAM": "split",
    "RenderedSST2": "split", "STL10": "split", "SVHN": "split", "StanfordCars": "split",
    "FGVCAircraft": "trainval", "OxfordIIITPet": "trainval", "Places365": "places",
    "EMNIST": "balanced", "Omniglot": "omniglot", "INaturalist": "year",
    "Caltech101": "all", "Caltech256": "all", "EuroSAT": "all", "SEMEION": "all",
    "SUN397": "all",
}  # fmt: skip
LABELS = ("targets", "labels", "_labels", "y")
CLASSES = ("classes", "categories")


class Found(NamedTuple):
    """A set: its parts, "" where it has none, and what its numbers mean."""

    parts: dict[str, Part]
    classes: tuple[str, ...]


class Pictures:
    """The images of a part of a set, decoded by torchvision one by one."""

    def __init__(self, path: Path, data: Any) -> None:
        """Take a set of torchvision; path: what messages call it."""
        self.path, self._data = path, data

    def __len__(self) -> int:
        return len(self._data)

    def png(self, index: int) -> BinaryIO:
        """Image number `index` as a file."""
        image = _item(self._data, index, self.path)[0]
        if not isinstance(image, Image.Image):
            raise Refusal(f"{self.path}: image {index} is of type {type(image).__name__}")
        return png(image)


def found(name: str, root: Path, *, download: bool) -> Found:
    """A set below root, as torchvision lays it out; fetched only if it may be."""
    with importing("torchvision", "test"):
        from torchvision import datasets  # 1.4 s, and only needed here
    made: Callable[..., Any] | None = getattr(datasets, name, None)
    if made is None:
        what = f"data.set: this release of torchvision has no {name}"
        raise Refusal(what, "type: pip install -U torchvision")
    place = root / name
    kinds = _PARTS[SETS[name]]
    parts = [_made(made, name, root, download, **arguments) for arguments in kinds]
    labels = [_labels(part, place) for part in parts]
    highest = max((label for some in labels for label in some), default=-1)
    listed = _classes(parts[0], highest)
    named = ("train", "test") if len(parts) == 2 else ("",)
    stacks = [_stack(part, place) for part in parts]
    made_of = [Part(*pair, "torchvision") for pair in zip(stacks, labels, strict=True)]
    return Found(dict(zip(named, made_of, strict=True)), listed)


def _made(
    make: Callable[..., Any], name: str, root: Path, download: bool, **arguments: Any
) -> Any:
    """A part of a set, or a refusal that says what to do."""
    known = inspect.signature(make).parameters
    if "download" in known:
        arguments["download"] = download
    elif download:
        raise Refusal(f"data.download: torchvision cannot fetch {name}; its page says where it is")
    try:
        data = make(str(root), **arguments)
    except ImportError as error:
        package = error.name or "a package"
        raise Refusal(
            f"{name}: {package} is not installed", f"type: pip install {package}"
        ) from error
    except Exception as error:  # RuntimeError, OSError, and whatever damaged files raise
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        if download:
            raise Refusal(f"{name}: the download to {root} failed: {first}") from error
        fix = "Name the folder that torchvision made (data.path)"
        fetch = ", or add --set data.download=true to fetch it" * ("download" in known)
        raise Refusal(
            f"{root}: {name} is not in it, or not whole: {first}", fix + fetch
        ) from error
    if not len(data):
        raise Refusal(f"{root}: {name} holds no images")
    return data


def _item(data: Any, index: int, path: Path) -> tuple[Any, Any]:
    """An image and its class."""
    try:
        image, label = data[index]
    except Exception as error:
        first = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise Refusal(f"{path}: image {index}: {first}") from error
    return image, label


def _labels(data: Any, path: Path) -> list[int]:
    """The number of each image's class: from a list if there is a true one, else one by one."""
    first = _item(data, 0, path)[1]
    for name in LABELS:
        values = np.asarray(getattr(data, name, ()))
        if values.shape == (len(data),) and values.dtype.kind in "iu" and values[0] == first:
            numbers: list[int] = values.tolist()
            return numbers
    labels = [_item(data, index, path)[1] for index in range(len(data))]
    if not all(isinstance(label, (int, np.integer)) for label in labels):
        raise Refusal(f"{path}: its classes are no whole numbers")
    return [int(label) for label in labels]


def _classes(data: Any, highest: int) -> tuple[str, ...]:
    """The names of the classes, or their numbers where there are none."""
    for attribute in CLASSES:
        names = getattr(data, attribute, None)
        if isinstance(names, Sequence) and len(names) > highest:
            return tuple(_called(name) for name in names)
    return tuple(map(str, range(highest + 1)))


def _called(name: Any) -> str:
    """The first of the words for a class."""
    return str(name[0] if isinstance(name, (tuple, list)) and name else name)


def _stack(data: Any, path: Path) -> Stack | Pictures:
    """The array of a set that is its images, or else what decodes them."""
    array = np.asarray(getattr(data, "data", ()))
    if array.dtype == np.uint8 and array.ndim in (3, 4) and len(array) == len(data):
        stack = Stack(path, array)
        if all(_is_same(stack, data, index, path) for index in (0, len(data) - 1)):
            return stack
    return Pictures(path, data)


def _is_same(stack: Stack, data: Any, index: int, path: Path) -> bool:
    """Whether an image of an array is what torchvision gives."""
    image = _item(data, index, path)[0]
    if not isinstance(image, Image.Image):
        return False
    pixels = np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)
    return np.array_equal(pixels, stack(index)[0].numpy())
