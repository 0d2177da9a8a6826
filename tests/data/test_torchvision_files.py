"""Sets of torchvision by name: parts, classes, and what is said where they are not."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from image_sets import MEMORY, fill, picture, values
from record_sets import read
from torchvision import datasets

from ddpm_cli.data import torchvision_files
from ddpm_cli.data.sets import packages
from ddpm_cli.errors import ConfigError, Refusal


def opened(root: Path, name: Any, split: Any = "train", **knobs: Any) -> Any:
    return packages.torchvision(split, set=name, path=str(root), **knobs)


def eurosat(root: Path) -> Path:
    """Twenty images in folders of classes."""
    files = {f"{'cat' if n % 2 else 'ant'}/{n:02}.png": picture(n) for n in range(20)}
    fill(root / "eurosat" / "2750", files)
    return root


@MEMORY
def test_a_set_that_is_an_array(memory: int, tmp_path: Path) -> None:
    runs.digits(tmp_path / "MNIST" / "raw")
    for split, count in (("train", 48), ("test", 16)):
        found = opened(tmp_path, "MNIST", split, memory=memory)
        assert (found.shape, found.in_memory, len(found)) == ((1, 8, 8), bool(memory), count)
        assert found.classes[:2] == ("0 - zero", "1 - one")
        assert found.labels.tolist() == [number % 4 for number in range(count)]


@MEMORY
def test_a_set_of_pictures(memory: int, tmp_path: Path) -> None:
    root = eurosat(tmp_path)
    found = opened(root, "EuroSAT", holdout=0, memory=memory)
    assert values(found) == [*range(0, 20, 2), *range(1, 20, 2)]
    assert (found.classes, found.labels.tolist()) == (("ant", "cat"), [0] * 10 + [1] * 10)
    assert found.in_memory == bool(memory)
    small = opened(root, "EuroSAT", size=2, fit="crop", mode="L", holdout=0, labels="none")
    assert (small.shape, small.classes) == ((1, 2, 2), None)
    parts = [values(opened(root, "EuroSAT", split, holdout=0.1)) for split in ("train", "test")]
    assert [len(part) for part in parts] == [18, 2]


def test_order_is_that_of_seed_and_step_alone(tmp_path: Path) -> None:
    root = eurosat(tmp_path)
    straight = read(opened(root, "EuroSAT", memory=1), 0)
    found = opened(root, "EuroSAT", memory=0)
    for workers, ranks in ((0, 1), (2, 1), (1, 2)):
        assert read(found, workers, ranks) == straight


def test_what_is_not_there_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for name in ("SVHN", "Food101", "MNIST"):
        with pytest.raises(Refusal, match=rf"{name} is not in it, or not whole") as refused:
            opened(tmp_path, name)
        assert "add --set data.download=true" in refused.value.message
    with pytest.raises(Refusal, match=r"data\.download: torchvision cannot fetch ImageNet"):
        opened(tmp_path, "ImageNet", download=True)
    assert not [*tmp_path.rglob("*")]
    with pytest.raises(ConfigError, match=r"data\.set"):
        packages.torchvision("train")


def test_only_classification_sets_have_names() -> None:
    outcome = runs.ddpm(
        "train", "--dry-run", "--preset", "tiny", "--set", "data.name=torchvision",
        "--set", "data.set=CocoDetection",
    )  # fmt: skip
    assert outcome.code == 2
    assert "data.set: 'CocoDetection'" in outcome.err
    assert "SVHN" in outcome.err


def test_damaged_pictures_are_named_or_skipped(tmp_path: Path) -> None:
    root = eurosat(tmp_path)
    (root / "eurosat/2750/cat/07.png").write_bytes(b"text")
    with pytest.raises(Refusal, match=r"EuroSAT: image 13: cannot identify"):
        opened(root, "EuroSAT", holdout=0)
    found = opened(root, "EuroSAT", holdout=0, skip_corrupt=True)
    assert len(found) == 19


def test_sets_are_asked_as_they_can_be() -> None:
    listed = {name for name in packages.Name.__args__ if name}  # type: ignore[attr-defined]
    assert listed == set(torchvision_files.SETS)
    for name, kind in torchvision_files.SETS.items():
        known = inspect.signature(getattr(datasets, name)).parameters
        for part in torchvision_files._PARTS[kind]:
            taken = {*known} | ({"train"} if "kwargs" in known else set())
            assert set(part) <= taken, name


def test_names_of_classes() -> None:
    class Some:
        classes = (("tench", "Tinca"), "owl")

    assert torchvision_files._classes(Some(), 1) == ("tench", "owl")
    assert torchvision_files._classes(Some(), 2) == ("0", "1", "2")
    assert torchvision_files._classes(torch.zeros(1), 1) == ("0", "1")
