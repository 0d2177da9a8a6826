"""IDX files as data sets: names, splits and sizes. (.npz files: tests/data/test_npz_sets.py.)"""

import gzip
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from image_sets import values

from ddpm_cli.data.sets import stacks
from ddpm_cli.errors import ConfigError, Refusal


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Ten images of one colour each and their classes, which have a gap."""
    runs.write_idx(tmp_path / "im", torch.arange(10)[:, None, None].expand(10, 4, 4))
    runs.write_idx(tmp_path / "lab", torch.arange(10) % 2 * 2)
    return tmp_path


def opened(place: Path, split: Any = "train", **knobs: Any) -> Any:
    files = {key: str(place / name) for key, name in knobs.items() if isinstance(name, str)}
    return stacks.idx(split, **(knobs | files))


def test_images_and_labels(place: Path) -> None:
    found = opened(place, images="im", labels="lab", holdout=0)
    assert (values(found), found.classes) == (list(range(10)), ("0", "1", "2"))
    assert found.labels.tolist() == [0, 2] * 5
    assert found.frequencies() == [0.5, 0, 0.5]
    assert opened(place, images="im", holdout=0).classes is None


def test_without_images_to_test_a_share_is_kept(place: Path) -> None:
    parts = [values(opened(place, split, images="im", holdout=0.2)) for split in ("train", "test")]
    assert [len(part) for part in parts] == [8, 2]
    assert sorted(parts[0] + parts[1]) == list(range(10))
    runs.write_idx(place / "more", torch.full((2, 4, 4), 77))
    assert values(opened(place, "test", images="im", test_images="more")) == [77, 77]
    assert len(opened(place, images="im", test_images="more")) == 10


def test_sizes_and_colours(place: Path) -> None:
    knobs: Any = {"size": 8, "fit": "resize", "mode": "RGB", "holdout": 0}
    found = stacks.idx("train", images=str(place / "im"), **knobs)
    assert (values(found), found.shape) == (list(range(10)), (3, 8, 8))


@pytest.mark.parametrize("style", ["train-{}-idx{}-ubyte", "emnist-x-train-{}.idx{}-ubyte"])
def test_a_folder_of_files_as_mnist_names_them(style: str, place: Path) -> None:
    for part in ("train", "t10k"):
        for kind, name, axes in (("images", "im", 3), ("labels", "lab", 1)):
            named = style.format(kind, axes).replace("train", part)
            (place / f"{named}.gz").write_bytes(gzip.compress((place / name).read_bytes()))
    for split in ("train", "test"):
        found = stacks.idx(split, path=str(place))
        assert (values(found), found.classes) == (list(range(10)), ("0", "1", "2"))
    (place / "other-train-images-idx3-ubyte").write_bytes(b"")
    with pytest.raises(Refusal, match="several files of images") as refused:
        stacks.idx("train", path=str(place))
    assert "choose one: --set data.images=" in refused.value.message


def test_what_is_missing_is_said(place: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.images"):
        stacks.idx("train")
    with pytest.raises(Refusal, match="no file named as train-images-idx3-ubyte"):
        stacks.idx("train", path=str(place))
    with pytest.raises(Refusal, match="No such file"):
        stacks.idx("train", path=str(place / "no"))
    with pytest.raises(ConfigError, match=r"data\.test_labels"):
        opened(place, images="im", labels="lab", test_images="im")
    runs.write_idx(place / "few", torch.arange(3))
    with pytest.raises(Refusal, match="3 labels for 10 images"):
        opened(place, images="im", labels="few")
