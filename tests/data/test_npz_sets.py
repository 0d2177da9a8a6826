"""Images in .npz files: names of arrays, classes, splits, memory, and damage."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_sets import MEMORY, values
from record_sets import read

from ddpm_cli.data import npz_entries, npz_names
from ddpm_cli.data.sets import stacks
from ddpm_cli.errors import ConfigError, Refusal


def grey(*colours: int, channels: int = 3) -> Any:
    """Images 4x6 of one colour each, [N, H, W, C]."""
    return np.array(colours, np.uint8)[:, None, None, None] + np.zeros((4, 6, channels), np.uint8)


TEN = grey(*range(10))
THIRDS = np.arange(10) % 3


def opened(path: Path, split: Any = "train", **knobs: Any) -> Any:
    return stacks.npz(split, path=str(path), **{"holdout": 0, **knobs})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "a.npz"


@MEMORY
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_openais_arrays(save: Any, memory: int, place: Path) -> None:
    save(place, TEN, THIRDS)
    if save is np.savez_compressed and not memory:
        with pytest.raises(Refusal, match="arr_0 takes 0 MiB of memory") as refused:
            opened(place, memory=0)
        assert "python -c \"import numpy; numpy.savez('plain.npz'" in refused.value.message
        assert "--set data.memory=1" in refused.value.message
        return
    found = opened(place, memory=memory)
    assert (values(found), found.labels.tolist()) == (list(range(10)), THIRDS.tolist())
    assert (found.shape, found.classes, found.in_memory) == (
        (3, 4, 6), ("0", "1", "2"), bool(memory),
    )  # fmt: skip
    assert found.origin == "the array arr_1"


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (np.array(["owl", "cat"] * 5), ("cat", "owl")),
        (np.array([b"owl", b"cat"] * 5), ("cat", "owl")),
        (np.arange(10).reshape(10, 1) % 2, ("0", "1")),
        (np.arange(10.0) % 2, ("0", "1")),
        (-np.ones(10, int), None),
    ],
)
def test_classes_of_any_type(labels: Any, classes: Any, place: Path) -> None:
    np.savez(place, TEN, labels)
    assert opened(place).classes == classes
    assert opened(place, labels="none").classes is None


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (np.eye(10), "an array of 10x10 classes for 10 images"),
        (np.arange(9), "an array of 9 classes for 10 images"),
        (np.arange(10) / 4, r"a class 0\.25"),
        (np.array([0] * 9 + [-1]), "image 9: no class"),
        (np.arange(10) * 1j, "classes of type complex128"),
        (np.array(3), "an array of  classes|damaged"),
    ],
)
def test_odd_classes_are_refused(labels: Any, what: str, place: Path) -> None:
    np.savez(place, TEN, labels)
    with pytest.raises(Refusal, match=what):
        opened(place)


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "val_images", "val_labels"),
    ],
)
def test_names_of_arrays_say_the_splits(names: tuple[str, ...], place: Path) -> None:
    arrays = (TEN[:7], THIRDS[:7], TEN[7:], THIRDS[7:])
    np.savez(place, **dict(zip(names, arrays, strict=True)))
    found = [opened(place, split) for split in ("train", "test")]
    assert [values(part) for part in found] == [list(range(7)), [7, 8, 9]]
    assert {part.classes for part in found} == {("0", "1", "2")}


def test_arrays_can_be_chosen(place: Path) -> None:
    np.savez(place, faces=TEN, kinds=THIRDS, other=np.eye(3))
    assert opened(place, image="faces", label="kinds").classes == ("0", "1", "2")
    with pytest.raises(Refusal, match=r"no images in it: faces 10x4x6x3, kinds 10, other 3x3"):
        opened(place)
    for key in ("image", "label"):
        with pytest.raises(ConfigError, match=rf"data\.{key}: no array 'no' in .* faces"):
            opened(place, **{"image": "faces", key: "no"})
    with pytest.raises(Refusal, match="values of type int64"):
        opened(place, image="kinds")


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (TEN.transpose(0, 3, 1, 2), (3, 4, 6)),
        (TEN[..., 0], (1, 4, 6)),
        (np.asfortranarray(TEN), (3, 4, 6)),
        (TEN.astype(np.float32) / 127.5 - 1, (3, 4, 6)),
    ],
)
@MEMORY
def test_other_orders_and_types(memory: int, array: Any, shape: Any, place: Path) -> None:
    np.savez(place, array)
    found = opened(place, memory=memory)
    assert (values(found), found.shape) == (list(range(10)), shape)


@MEMORY
def test_size_mode_and_share_for_test_as_for_folders(memory: int, place: Path) -> None:
    np.savez(place, TEN, THIRDS)
    for mode, channels in (("L", 1), ("auto", 3), ("RGBA", 4)):
        found = opened(place, mode=mode, size=2, fit="resize", memory=memory)
        assert (values(found), found.shape) == (list(range(10)), (channels, 2, 2))
    with pytest.raises(Refusal, match=r"a\.npz: image 0: 6x4 pixels, expected 4x4"):
        opened(place, size=4, memory=memory)
    parts = [values(opened(place, split, holdout=0.3)) for split in ("train", "test")]
    resized = [
        values(opened(place, split, holdout=0.3, size=2, fit="crop"))
        for split in ("train", "test")
    ]
    assert parts == resized
    assert sorted(parts[0] + parts[1]) == list(range(10))


def test_order_is_that_of_seed_and_step_alone(place: Path) -> None:
    np.savez(place, grey(*range(30)), np.arange(30) % 3)
    straight = read(opened(place, memory=1), 0)
    found = opened(place, memory=0)
    for workers, ranks in ((2, 1), (1, 2)):
        assert read(found, workers, ranks) == straight


def test_what_is_stored_as_it_is_stays_in_the_file(place: Path) -> None:
    np.savez(place, TEN)
    assert isinstance(npz_entries.Entries(place, 0).read("arr_0"), np.memmap)
    np.savez(place, grey(*range(200)))
    sent = pickle.dumps(opened(place, memory=0))  # as to a worker process
    assert len(sent) < 5000
    assert values(pickle.loads(sent)) == list(range(200))  # noqa: S301 - our own


def test_nothing_is_unpickled(place: Path, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "canary",)

    np.savez(place, arr_0=np.array([Canary()], object))
    with pytest.raises(Refusal, match="pickled objects are never read"):
        opened(place)
    np.savez(place, arr_0=TEN, arr_1=np.array([Canary()] * 10, object))
    with pytest.raises(Refusal, match="pickled objects are never read") as refused:
        opened(place)
    assert "--set data.labels=none" in refused.value.message
    assert len(opened(place, labels="none")) == 10
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("labels", [THIRDS[:9], np.eye(10), THIRDS + 0.5, THIRDS + 1j])
def test_classes_that_fit_no_image_can_be_left_out(labels: Any, place: Path) -> None:
    np.savez(place, TEN, labels)
    with pytest.raises(Refusal, match=r"--set data\.labels=none"):
        opened(place)
    assert opened(place, labels="none").classes is None


def test_damage_is_one_line(place: Path) -> None:
    np.savez(place, TEN, THIRDS)
    whole = place.read_bytes()
    chances = torch.Generator().manual_seed(0)
    for at in torch.randint(len(whole), (200,), generator=chances).tolist():
        changed = bytearray(whole)
        changed[at] ^= 1 << int(torch.randint(8, (1,), generator=chances))
        place.write_bytes(changed)
        message = "a.npz"
        try:
            values(opened(place))
        except Refusal as refused:
            message = refused.message
        assert "a.npz" in message
    for data, what in (
        (whole[:-50], "damaged"), (b"", "an empty file"), (b"\x89PNG", "an image, no .npz file")
    ):  # fmt: skip
        place.write_bytes(data)
        with pytest.raises(Refusal, match=rf"a\.npz: {what}"):
            opened(place)
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
        header = b"\x93NUMPY\1\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (%d, 4, 4), }"
        archive.writestr("arr_0.npy", (header % 10**12).ljust(127) + b"\n")
    with pytest.raises(Refusal, match="arr_0 takes 15258789 MiB"):
        opened(place)


def test_what_is_a_set(place: Path, tmp_path: Path) -> None:
    np.savez(place, TEN)
    np.savez(tmp_path / "b.npz", mu=np.eye(3))
    (tmp_path / "c.npz").write_bytes(b"PK")
    holding = [npz_names.holds(tmp_path / f"{name}.npz") for name in "abcd"]
    assert holding == [True, False, False, False]
