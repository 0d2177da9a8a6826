"""EDM's zip files and folders: classes from dataset.json, and arrays that are images."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_sets import KINDS, opened, picture, values
from record_sets import read

from ddpm_cli.errors import Refusal

IMAGES = {f"0000{n // 3}/img0000000{n}.png": picture(n) for n in range(6)}
ONE = "00000/img00000000.png"
LABELS = [[name, n % 2 * 2] for n, name in enumerate(IMAGES)]


def told(labels: Any, folder: str = "") -> dict[str, bytes]:
    """A file dataset.json."""
    data = labels if isinstance(labels, bytes) else json.dumps({"labels": labels}).encode()
    return {f"{folder}dataset.json": data}


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@KINDS
@pytest.mark.parametrize("labels", ["auto", "json"])
@pytest.mark.parametrize("top", ["", "top/"])
def test_classes_are_those_of_the_file(labels: str, top: str, kind: str, tmp_path: Path) -> None:
    files = {top + name: data for name, data in IMAGES.items()} | told(LABELS, top)
    found = opened(kind, tmp_path, files, labels=labels, holdout=0)
    assert values(found) == list(range(6))
    assert found.classes == ("0", "1", "2")  # numbered as EDM does, where one has no image
    assert found.labels.tolist() == [0, 2] * 3
    assert found.origin == "dataset.json"


@KINDS
def test_order_is_that_of_seed_and_step_alone(kind: str, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    straight = read(opened(kind, tmp_path / "a", IMAGES | told(LABELS), holdout=0), 0)
    turned = dict(reversed([*(IMAGES | told(LABELS[::-1])).items()]))
    found = opened(kind, tmp_path / "b", turned, holdout=0, memory=0)
    for workers, ranks in ((0, 1), (2, 1), (1, 2)):
        assert read(found, workers, ranks) == straight


@KINDS
def test_other_choices_do_not_read_it(kind: str, tmp_path: Path) -> None:
    files = IMAGES | told(LABELS)
    assert opened(kind, tmp_path, files, labels="folders", holdout=0).classes == ("00000", "00001")
    assert opened(kind, tmp_path, files, labels="none", holdout=0).classes is None


@KINDS
def test_null_is_no_classes_though_there_are_folders(kind: str, tmp_path: Path) -> None:
    assert opened(kind, tmp_path, IMAGES | told(None), holdout=0).classes is None


@KINDS
def test_a_file_of_another_program_is_left_alone(kind: str, tmp_path: Path) -> None:
    files = IMAGES | told(b'{"name": "mine"}')
    assert opened(kind, tmp_path, files, holdout=0).classes == ("00000", "00001")
    (tmp_path / "x").mkdir()
    assert opened(kind, tmp_path / "x", files, labels="json", holdout=0).classes is None


@KINDS
@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (b"{", "damaged, no JSON"),
        (b"[" * 100_000, "damaged, no JSON"),
        (b"[1]", "no object with labels"),
        (7, "its labels are no list"),
        ([["a"]], r'\["a"\] is no pair of a file and a class'),
        ([[ONE, [0.5, 1.0]]], "has no whole number as its class"),
        ([[ONE, -3]], "a class -3; they count from 0"),
        ([[ONE, 10**9]], "1000000001 classes; at most 10000"),
        ([["other.png", 1]], "it lists none of the images"),
    ],
)
def test_damage_is_named(labels: Any, what: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=rf"dataset\.json: {what}|{what}") as refused:
        opened(kind, tmp_path, IMAGES | told(labels), holdout=0)
    assert "dataset.json" in refused.value.message


@KINDS
def test_images_without_a_class_are_named_or_skipped(kind: str, tmp_path: Path) -> None:
    files = IMAGES | told(LABELS[1:])
    with pytest.raises(Refusal, match=r"img00000000\.png: no class in dataset\.json") as refused:
        opened(kind, tmp_path, files, holdout=0)
    assert "1 of 6 images have none" in refused.value.message
    found = opened(kind, tmp_path, files, holdout=0, skip_corrupt=True)
    assert (values(found), len(found.skipped)) == ([1, 2, 3, 4, 5], 1)
    assert found.labels.tolist() == [2, 0, 2, 0, 2]


@KINDS
@pytest.mark.parametrize("memory", [0, 1])
def test_arrays_that_are_images(memory: int, kind: str, tmp_path: Path) -> None:
    arrays = {f"00000/img{n}.npy": npy(np.full((3, 4, 6), n, np.uint8)) for n in range(5)}
    labels = [[name, n] for n, name in enumerate(arrays)]
    found = opened(kind, tmp_path, arrays | told(labels), holdout=0, memory=memory)
    assert (values(found), found.shape) == (list(range(5)), (3, 4, 6))
    assert found.labels.tolist() == list(range(5))
    (tmp_path / "grey").mkdir()
    grey = {"a.npy": npy(np.full((1, 4, 6), 9, np.uint8))}
    found = opened(kind, tmp_path / "grey", grey | told(None), holdout=0, mode="L")
    assert (values(found), found.shape) == ([9], (1, 4, 6))


@KINDS
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (npy(np.zeros((8, 4, 6), np.float32)), "an array 8x4x6 of float32, no image"),
        (npy(np.zeros((8, 4, 6), np.uint8)), "an array 8x4x6, no image"),
        (npy(np.array([{}], object)), "pickled objects are never read"),
        (npy(np.zeros((3, 4, 6), np.uint8))[:-9], "damaged"),
        (npy(np.zeros((1, 5000, 5000), np.uint8)), "too many pixels"),
    ],
)
def test_other_arrays_are_none(data: bytes, what: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=rf"a\.npy: .*{what}"):
        opened(kind, tmp_path, {"a.npy": data} | told(None), holdout=0)
