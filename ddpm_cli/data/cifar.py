"""CIFAR-10 and CIFAR-100: the binary version, or torchvision's, whose check sums it verifies."""

import shlex
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.splits import Split
from ddpm_cli.errors import Refusal

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
FILE_LIMIT = 2**28


class Version(NamedTuple):
    """The files of one CIFAR; a binary record starts with `labels` bytes, the last one counts."""

    name: str
    binary: str
    pickled: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: str
    labels: int
    classes: int


CIFAR10 = Version(
    name="CIFAR10",
    binary="cifar-10-batches-bin",
    pickled="cifar-10-batches-py",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test=("test_batch.bin",),
    names="batches.meta.txt",
    labels=1,
    classes=10,
)
CIFAR100 = Version(
    name="CIFAR100",
    binary="cifar-100-binary",
    pickled="cifar-100-python",
    train=("train.bin",),
    test=("test.bin",),
    names="fine_label_names.txt",
    labels=2,
    classes=100,
)


def cifar(version: Version, split: Split, folder: Path, *, download: bool) -> ImageSet:
    """Read one split from folder, where the binary or the pickled version lies."""
    for place in (folder / version.binary, folder):
        files = [place / name for name in (version.train if split == "train" else version.test)]
        if all(file.is_file() for file in files):
            return _binary(version, files, place / version.names)
    if not download and not (folder / version.pickled).is_dir():
        raise _nothing(version, folder)
    return _pickled(version, split, folder, download)


def _nothing(version: Version, folder: Path) -> Refusal:
    """The refusal of a folder without the data, or with them under another name."""
    what = f"{folder}: neither {version.binary} nor {version.pickled} is in it"
    place = shlex.quote(str(folder))
    packed = sorted(folder.glob(f"cifar-{version.classes}-*.tar.gz"))
    if packed:
        unpack = f"tar xf {shlex.quote(str(packed[0]))} -C {place}"
        return Refusal(what, f"They are packed in {packed[0].name}; unpack it: {unpack}")
    if any((folder / name).is_file() for name in ("data_batch_1", "train")):
        why = "The Python version is in it, whose folder must be called so; from where it lies:"
        return Refusal(what, f"{why} mv {place} {version.pickled}, with data.path=.")
    return Refusal(what, "Name another folder (data.path), or add --set data.download=true.")


def _binary(version: Version, files: list[Path], names: Path) -> ImageSet:
    records = torch.cat([_records(file, version.labels + PIXELS) for file in files])
    labels = records[:, version.labels - 1].long()
    highest = int(labels.max())
    if highest >= version.classes:
        where = files[0].parent
        raise Refusal(f"{where}: label {highest}; expected 0 to {version.classes - 1}")
    images = records[:, version.labels :].reshape(-1, *SHAPE).clone()
    return ImageSet(images, SHAPE, labels, _class_names(names, version.classes))


def _records(file: Path, length: int) -> Tensor:
    """Read a file of records of one length as uint8 [N, length]."""
    try:
        size = file.stat().st_size
        if size == 0 or size % length or size > FILE_LIMIT:
            raise Refusal(f"{file}: damaged: {size} bytes are no whole number of records")
        values = bytearray(file.read_bytes())
    except OSError as error:
        raise Refusal(f"{file}: {error.strerror or error}") from error
    return torch.frombuffer(values, dtype=torch.uint8).reshape(-1, length)


def _class_names(file: Path, count: int) -> tuple[str, ...]:
    """Read one name a line; without a usable file the classes are numbered."""
    try:
        names = tuple(file.read_text("utf-8").split())
    except (OSError, UnicodeError):
        names = ()
    return names if len(names) == count else tuple(map(str, range(count)))


def _pickled(version: Version, split: Split, folder: Path, download: bool) -> ImageSet:
    """Let torchvision read its version: it compares MD5 sums before it unpickles anything."""
    from torchvision import datasets  # 1.4 s, and only needed here

    try:
        batches = getattr(datasets, version.name)(folder, split == "train", download=download)
    except (RuntimeError, OSError) as error:
        fix = "Remove it and add --set data.download=true to fetch it again."
        raise Refusal(f"{folder / version.pickled}: {error}", fix) from error
    images = torch.from_numpy(batches.data).permute(0, 3, 1, 2).contiguous()
    return ImageSet(images, SHAPE, torch.tensor(batches.targets), tuple(batches.classes))
