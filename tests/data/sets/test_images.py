"""The sets of images: MNIST is what it should be, and nothing is fetched unasked."""

import gzip
import hashlib
from pathlib import Path

import pytest
import torch
from image_files import idx

from ddpm_cli.data.image_set import describe
from ddpm_cli.data.sets import images as sets
from ddpm_cli.errors import Refusal

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@pytest.mark.parametrize("name", MD5)
def test_the_bundled_files_are_the_published_ones(name: str) -> None:
    data = gzip.decompress((sets.BUNDLED / f"{name}.gz").read_bytes())
    assert hashlib.md5(data, usedforsecurity=False).hexdigest() == MD5[name]
    licences = (sets.BUNDLED.parent / "LICENSES.md").read_text("utf-8")
    assert MD5[name] in licences
    assert f"`{name}.gz`" in licences


def test_mnist() -> None:
    train, test = sets.mnist("train"), sets.mnist("test")
    assert describe(train) == "60000 images 28x28 grey, 10 classes, in memory 47 MB"
    assert len(test) == 10_000
    images, conditions = train[torch.tensor([0, 59_999])]
    assert images.dtype == torch.uint8
    assert images.shape == (2, *train.shape)
    assert conditions["classes"].tolist() == [5, 8]
    shares = train.frequencies()
    assert shares is not None
    assert shares[1] == 6742 / 60_000
    assert sum(shares) == pytest.approx(1)


def write_mnist(folder: Path, labels: list[int]) -> None:
    """A tiny set in MNIST's layout, its training images gzipped."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        data = idx((len(labels), 2, 3), bytes(6 * len(labels)))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((len(labels),), bytes(labels)))


def test_mnist_of_another_folder(tmp_path: Path) -> None:
    write_mnist(tmp_path, [3, 9, 3])
    assert len(sets.mnist("test", path=str(tmp_path))) == 3
    with pytest.raises(Refusal, match="nowhere"):
        sets.mnist("train", path=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("labels", "what"), [([0, 10], "label 10"), ([1, 2, 3], "3 labels for 2")]
)
def test_labels_must_fit(labels: list[int], what: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, [1, 2])
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx((len(labels),), bytes(labels)))
    with pytest.raises(Refusal, match=f"train-labels-idx1-ubyte: {what}"):
        sets.mnist("train", path=str(tmp_path))


def test_fashion_mnist_is_searched_and_never_fetched_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sets, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(sets, "_fetch_fashion_mnist", lambda home: pytest.fail(f"fetched {home}"))
    with pytest.raises(Refusal, match="dataset-fashion-mnist"):
        sets.fashion_mnist("train")
    write_mnist(tmp_path / "cache" / "ddpm" / "FashionMNIST" / "raw", [1])
    assert len(sets.fashion_mnist("train")) == 1
    write_mnist(tmp_path / "debian", [1, 2])
    found = sets.fashion_mnist("train", download=True)
    assert len(found) == 2
    assert found.classes is not None
    assert found.classes[9] == "Ankle boot"
    write_mnist(tmp_path / "own", [1, 2, 3])
    assert len(sets.fashion_mnist("test", path=str(tmp_path / "own"))) == 3


def test_fashion_mnist_is_fetched_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(home: Path) -> None:
        write_mnist(home / "FashionMNIST" / "raw", [4])

    monkeypatch.setattr(sets, "_fetch_fashion_mnist", fetch)
    found = sets.fashion_mnist("train", path=str(tmp_path), download=True)
    assert len(found) == 1
