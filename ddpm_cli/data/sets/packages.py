"""Image sets of other packages that `[data] name` can choose."""

from typing import Literal

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.loading import Wish
from ddpm_cli.data.places import place
from ddpm_cli.data.row_files import mode_of, row_set
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import cache
from ddpm_cli.settings.knobs import Fraction, Index, Side

Name = Literal[
    "", "CIFAR10", "CIFAR100", "CLEVRClassification", "Caltech101", "Caltech256", "Country211",
    "DTD", "EMNIST", "EuroSAT", "FER2013", "FGVCAircraft", "FashionMNIST", "Flowers102", "Food101",
    "GTSRB", "INaturalist", "ImageNet", "Imagenette", "KMNIST", "LFWPeople", "MNIST", "Omniglot",
    "OxfordIIITPet", "PCAM", "Places365", "QMNIST", "RenderedSST2", "SEMEION", "STL10", "SUN397",
    "SVHN", "StanfordCars", "USPS",
]  # fmt: skip


def torchvision(
    split: Literal["train", "test"],
    *,
    set: Name = "",
    path: str = "",
    download: bool = False,
    size: Side = 0,
    mode: Literal["auto", "RGB", "L", "RGBA"] = "auto",
    fit: Literal["error", "resize", "crop"] = "error",
    labels: Literal["own", "none"] = "own",
    holdout: Fraction = 0.05,
    skip_corrupt: bool = False,
    memory: Index = 1024,
) -> ImageSet:
    """An image classification set of torchvision by its name there, as set=SVHN.

    path: the root that torchvision is given, by default the cache folder; fetched only with
    `download`. mode: auto takes the colours that are there. holdout: of sets without images to
    test. Other knobs as for folder.
    """
    from ddpm_cli.data import torchvision_files

    if not set:
        raise ConfigError("data.set: the name of a set is needed; add --set data.set=SVHN")
    root = place(path) if path else cache.folder()
    found = torchvision_files.found(set, root, download=download)
    colours = mode_of(found.parts, mode)
    wish = Wish(size, colours, (), fit, "none", holdout, skip_corrupt, memory)
    own = labels == "own"
    return row_set(root, found.parts, split, wish, labels=own, classes=found.classes)
