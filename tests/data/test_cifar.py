"""CIFAR: the binary version is read, the pickled one only after its check sums."""

import pickle
from pathlib import Path

import pytest
import torch

from ddpm_cli.data.sets import images as sets
from ddpm_cli.errors import Refusal


def record(labels: list[int], value: int) -> bytes:
    """One image of one value in the binary version."""
    return bytes(labels) + bytes([value]) * 1024 + bytes(2048)


def write_cifar10(folder: Path) -> None:
    """A tiny binary CIFAR-10 with 10 training images and 1 test image."""
    folder.mkdir(parents=True)
    for number in range(1, 6):
        data = record([number], number) + record([0], 100 + number)
        (folder / f"data_batch_{number}.bin").write_bytes(data)
    (folder / "test_batch.bin").write_bytes(record([9], 7))
    names = "airplane automobile bird cat deer dog frog horse ship truck"
    (folder / "batches.meta.txt").write_text(names.replace(" ", "\n") + "\n\n", "utf-8")


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_binary_cifar10(inner: str, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c" / inner)
    train = sets.cifar10("train", path=str(tmp_path / "c"))
    assert (len(train), train.shape) == (10, (3, 32, 32))
    assert train.classes is not None
    assert train.classes[3] == "cat"
    images, conditions = train[torch.tensor([4])]
    assert conditions["classes"].tolist() == [3]
    assert images[0, :, 0, 0].tolist() == [3, 0, 0]
    assert len(sets.cifar10("test", path=str(tmp_path / "c"))) == 1


def test_binary_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    (tmp_path / "cifar-100-binary").mkdir()
    for part in ("train", "test"):
        (tmp_path / "cifar-100-binary" / f"{part}.bin").write_bytes(record([19, 99], 1))
    found = sets.cifar100("train", path=str(tmp_path))
    assert found.labels is not None
    assert found.labels.tolist() == [99]
    assert found.classes == tuple(map(str, range(100)))


@pytest.mark.parametrize("data", [b"", record([1], 1)[:-1], record([10], 1)])
def test_damaged_binaries_are_refused(data: bytes, tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c")
    (tmp_path / "c" / "test_batch.bin").write_bytes(data)
    with pytest.raises(Refusal, match=str(tmp_path / "c")):
        sets.cifar10("test", path=str(tmp_path / "c"))


def test_nothing_is_fetched_unasked(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"data\.download=true"):
        sets.cifar10("train", path=str(tmp_path))


def test_a_pickle_with_another_check_sum_never_runs(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "canary",)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    parts = [f"data_batch_{number}" for number in range(1, 6)]
    for name in (*parts, "test_batch", "batches.meta"):
        (folder / name).write_bytes(pickle.dumps(Payload()))
    for split in ("train", "test"):
        with pytest.raises(Refusal, match="cifar-10-batches-py"):
            sets.cifar10(split, path=str(tmp_path))
    assert not (tmp_path / "canary").exists()
