"""Folders and archives of images: what is found, how it is split, what is refused."""

import contextlib
import os
import pickle
import resource
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import RGB, header, png
from image_sets import KINDS, fill, opened, pack, picture
from PIL import Image
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader

from ddpm_cli.data.image_set import ImageSet, describe
from ddpm_cli.data.sets import images as sets
from ddpm_cli.data.splits import Split, arrange
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import pixels as images
from ddpm_cli.settings import catalog


def values(found: ImageSet) -> list[int]:
    """The colours of all images, in order."""
    return found[torch.arange(len(found))][0][:, 0, 0, 0].tolist()


MEMORY = pytest.mark.parametrize("memory", [0, 1])
FLAT = {f"{number:02}.png": picture(number) for number in range(20)}


# ---- what is found


@KINDS
@MEMORY
def test_images_come_sorted_by_name(kind: str, memory: int, tmp_path: Path) -> None:
    files = {"b.PNG": picture(2), "a.png": picture(1), "C.Jpg": picture(0), "notes.txt": b"x"}
    found = opened(kind, tmp_path, files, holdout=0, memory=memory)
    assert values(found) == [0, 1, 2]
    assert (found.shape, found.classes, found.labels) == ((3, 4, 6), None, None)
    assert found.in_memory == bool(memory)
    assert describe(found).startswith("3 images 6x4 RGB, ")


@KINDS
@pytest.mark.parametrize("top", ["", "set/", "a/b/"])
def test_folders_are_classes(kind: str, top: str, tmp_path: Path) -> None:
    names = {"cat/1.png": 1, "dog/old/1.png": 2, "dog/2.png": 3, "Ant/1.png": 0}
    files = {top + name: picture(value) for name, value in names.items()}
    found = opened(kind, tmp_path, files, holdout=0)
    assert found.classes == ("Ant", "cat", "dog")
    pixels, conditions = found[torch.tensor([3, 0])]
    assert pixels[:, 0, 0, 0].tolist() == [2, 0]
    labels = conditions["classes"]
    assert labels.dtype == torch.int64
    assert labels.tolist() == [2, 0]
    assert found.frequencies() == [0.25, 0.25, 0.5]


@KINDS
def test_images_beside_class_folders_are_named(kind: str, tmp_path: Path) -> None:
    files = {"cat/1.png": picture(1), "dog/1.png": picture(2), "preview.png": picture(3)}
    with pytest.raises(Refusal, match=r"preview\.png: it lies beside"):
        opened(kind, tmp_path, files)
    found = opened(kind, tmp_path, files, labels="none", holdout=0)
    assert (len(found), found.classes) == (3, None)


@KINDS
def test_hidden_files_are_skipped(kind: str, tmp_path: Path) -> None:
    hidden = {".a.png": b"", ".git/a.png": b"", "__MACOSX/._00.png": b""}
    assert len(opened(kind, tmp_path, {**FLAT, **hidden}, holdout=0)) == 20


@KINDS
@pytest.mark.parametrize("files", [{}, {"notes.txt": b"x"}, {".hidden.png": b"x"}])
def test_no_images(kind: str, files: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(Refusal, match=r"set.*: no images"):
        opened(kind, tmp_path, files)


def test_the_wrong_kind_of_place(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", FLAT)
    for use, place, what in [
        (sets.folder, path, "archive"),
        (sets.archive, tmp_path, "folder"),
        (sets.folder, tmp_path / "missing", "No such file"),
        (sets.archive, tmp_path / "missing", "No such file"),
        (sets.archive, fill(tmp_path, {"b.zip": b"no zip"}) / "b.zip", "not a zip"),
        (sets.archive, fill(tmp_path, {"c.zip": path.read_bytes()[:-9]}) / "c.zip", "not a zip"),
    ]:
        with pytest.raises(Refusal, match=f"{place.name}.*{what}"):
            use("train", path=str(place))
    for missing in (sets.folder, sets.archive):
        with pytest.raises(ConfigError, match=r"data\.path"):
            missing("train")
        with pytest.raises(ConfigError, match="NUL"):
            missing("train", path="a\0b")


def test_links_are_followed_once_and_loops_end(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", {"cat/1.png": picture(1), "dog/1.png": picture(2)})
    fill(tmp_path / "outside", {"1.png": picture(3)})
    (root / "owl").symlink_to(tmp_path / "outside")
    (root / "owls").symlink_to(tmp_path / "outside")
    (root / "again").symlink_to(root / "dog")
    (root / "cat" / "up").symlink_to(root)
    (tmp_path / "outside" / "back").symlink_to(root)
    (root / "self").symlink_to("self")
    found = sets.folder("train", path=str(root), holdout=0)
    assert found.classes == ("cat", "dog", "owl")
    assert values(found) == [1, 2, 3]


def test_pipes_are_skipped_and_broken_links_named(tmp_path: Path) -> None:
    root = fill(tmp_path / "set", FLAT)
    os.mkfifo(root / "pipe.png")
    assert len(sets.folder("train", path=str(root), holdout=0)) == 20
    (root / "05b.png").symlink_to("nowhere.png")
    with pytest.raises(Refusal, match=r"05b\.png"):
        sets.folder("train", path=str(root), holdout=0)


def test_odd_file_names(tmp_path: Path) -> None:
    names = ["-x.png", "new\nline.png", "sp ace.png", "ünï.png", os.fsdecode(b"raw\xff.png")]
    root = fill(tmp_path / "set", {name: picture(1) for name in names})
    assert len(sets.folder("train", path=str(root), holdout=0)) == 5
    fill(root, {"new\nline.png": b"", os.fsdecode(b"raw\xff.png"): b""})
    with pytest.raises(Refusal, match=r"new\\nline\.png.*") as refused:
        sets.folder("train", path=str(root), holdout=0)
    assert len(refused.value.message.splitlines()) == 3


@MEMORY
def test_few_descriptors_are_enough(memory: int, tmp_path: Path) -> None:
    root = fill(tmp_path, {f"{number:03}.png": picture(number) for number in range(200)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        found = sets.folder("train", path=str(root), holdout=0, memory=memory)
        assert values(found) == list(range(200))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- the split


@KINDS
@MEMORY
def test_the_splits_are_disjoint_and_complete(kind: str, memory: int, tmp_path: Path) -> None:
    train = opened(kind, tmp_path, FLAT, "train", holdout=0.25, memory=memory)
    test = opened(kind, tmp_path, FLAT, "test", holdout=0.25, memory=memory)
    parts = [values(train), values(test)]
    assert list(map(len, parts)) == [15, 5]
    assert sorted(parts[0] + parts[1]) == list(range(20))


def test_the_split_depends_on_the_names_only(tmp_path: Path) -> None:
    moved = {f"moved/{name}": data for name, data in reversed(FLAT.items())}
    expected = values(opened("folder", tmp_path, FLAT, "test", holdout=0.25))
    assert values(opened("archive", tmp_path, moved, "test", holdout=0.25)) == expected
    assert expected == [2, 3, 4, 6, 18]  # written down: it must never change


def test_folders_named_train_and_test_are_the_splits(tmp_path: Path) -> None:
    files = {"train/cat/1.png": 1, "train/dog/1.png": 2, "test/dog/1.png": 3}
    data = {name: picture(value) for name, value in files.items()}
    train = opened("folder", tmp_path, data, "train")
    test = opened("folder", tmp_path, data, "test")
    assert (values(train), values(test)) == ([1, 2], [3])
    assert train.classes == test.classes == ("cat", "dog")
    assert test.labels is not None
    assert test.labels.tolist() == [1]


@pytest.mark.parametrize(("split", "holdout"), [("test", 0), ("train", 1), ("test", 0.01)])
def test_an_empty_split_names_the_knob(split: Split, holdout: float, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"data\.holdout"):
        opened("folder", tmp_path, FLAT, split, holdout=holdout)


class Names:
    """Files of which only the names matter."""

    root = Path("set")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))

    def open(self, name: str) -> Any:
        raise NotImplementedError

    def place(self, name: str) -> str:
        return name


NAME = st.lists(st.sampled_from(["a", "b", "train", "test", "é"]), min_size=1, max_size=4)


@given(st.sets(NAME.map(lambda parts: "/".join(parts) + ".png"), min_size=1), st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_any_names_split_without_overlap(names: set[str], holdout: float) -> None:
    found = []
    splits: tuple[Split, Split] = ("train", "test")
    for split in splits:
        with contextlib.suppress(Refusal):  # one of the splits may be empty
            found += arrange(Names(names), split, holdout, "none").names
    assert sorted(found) == sorted(names)


# ---- sizes and modes


@KINDS
@MEMORY
def test_different_sizes_are_refused_with_the_fix(kind: str, memory: int, tmp_path: Path) -> None:
    files = {**FLAT, "07.png": picture(7, 8, 9), "09.png": picture(9, 8, 9)}
    with pytest.raises(Refusal, match=r"07\.png: 9x8 pixels, expected 6x4") as refused:
        opened(kind, tmp_path, files, holdout=0, memory=memory)
    assert "18 of 6x4, 2 of 9x8" in refused.value.message
    assert "--set data.size=4 --set data.fit=crop" in refused.value.message


@MEMORY
def test_a_size_without_fit_must_be_met(memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="expected 8x8"):
        opened("folder", tmp_path, FLAT, size=8, memory=memory)


@MEMORY
@pytest.mark.parametrize(("fit", "columns"), [("crop", [100, 100]), ("resize", [0, 200])])
def test_fit(fit: str, columns: list[int], memory: int, tmp_path: Path) -> None:
    stripes = torch.zeros(3, 20, 60, dtype=torch.uint8)
    stripes[:, :, 20:40], stripes[:, :, 40:] = 100, 200
    files = {"a.png": images.encode_png(stripes), "b.jpg": images.encode_png(stripes[:, :, 20:])}
    found = opened("folder", tmp_path, files, size=10, fit=fit, holdout=0, memory=memory)
    assert found.shape == (3, 10, 10)
    row = found[torch.tensor([0])][0][0, 0, 5].int()
    assert (row[[0, -1]] - torch.tensor(columns)).abs().max() <= 8  # Lanczos overshoots


def test_large_photographs_are_fitted(tmp_path: Path) -> None:
    photo = Image.linear_gradient("L").resize((1600, 1200)).convert("RGB")
    photo.save(tmp_path / "a.jpg", quality=95)
    found = sets.folder("train", path=str(tmp_path), size=32, fit="crop", holdout=0)
    column = found[torch.tensor([0])][0][0, 0, :, 16].int()
    assert (column - torch.linspace(4, 251, 32)).abs().max() < 4


@pytest.mark.parametrize(("mode", "expected"), [("L", [76]), ("RGBA", [255, 0, 0, 255])])
def test_mode(mode: images.Mode, expected: list[int], tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), "red").save(tmp_path / "a.png")
    found = sets.folder("train", path=str(tmp_path), mode=mode, holdout=0)
    assert found[torch.tensor([0])][0][0, :, 0, 0].tolist() == expected


@pytest.mark.parametrize(
    ("knobs", "key"), [({"fit": "crop"}, r"data\.fit"), ({"size": 10**6}, r"data\.size")]
)
def test_impossible_wishes(knobs: dict[str, Any], key: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=key):
        opened("folder", tmp_path, FLAT, **knobs)


# ---- corrupt files

BOMB = png(header(60000, 60000, 8, RGB), [bytes(9)])
BAD = {"03.png": b"", "05.png": b"text", "08.png": picture(8)[:20], "11.png": BOMB}


@KINDS
@MEMORY
def test_corrupt_files_are_all_named(kind: str, memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal) as refused:
        opened(kind, tmp_path, {**FLAT, **BAD}, holdout=0, memory=memory)
    lines = refused.value.message.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("03.png: empty file")
    assert lines[1].startswith("4 of 20 files are unreadable")
    assert all(name in lines[1] for name in ("05.png", "08.png", "11.png"))
    assert "--set data.skip_corrupt=true" in lines[2]


def test_of_many_corrupt_files_five_are_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="; and 15 more") as refused:
        opened("folder", tmp_path, dict.fromkeys(FLAT, b""), holdout=0)
    assert refused.value.message.count("empty file") == 5


@KINDS
@MEMORY
def test_corrupt_files_can_be_skipped(kind: str, memory: int, tmp_path: Path) -> None:
    files = {**{f"a/{n}": data for n, data in {**FLAT, **BAD}.items()}, "b/0.png": picture(99)}
    found = opened(kind, tmp_path, files, holdout=0, memory=memory, skip_corrupt=True)
    assert len(found) == len(found.skipped) + 13 == 17
    assert values(found) == [n for n in range(20) if n not in (3, 5, 8, 11)] + [99]
    assert found.labels is not None
    assert found.labels.tolist() == [0] * 16 + [1]
    assert describe(found).endswith("4 unreadable files skipped")


@KINDS
@MEMORY
def test_nothing_readable(kind: str, memory: int, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="empty file"):
        opened(kind, tmp_path, dict.fromkeys(FLAT, b""), memory=memory, skip_corrupt=True)


def test_a_file_damaged_behind_its_header_is_named_when_it_is_read(tmp_path: Path) -> None:
    files = {**FLAT, "04.png": picture(4)[:-15]}
    found = opened("folder", tmp_path, files, holdout=0, memory=0)
    with pytest.raises(Refusal, match=r"04\.png: damaged image") as refused:
        found[torch.tensor([3, 4])]
    assert "data.skip_corrupt" in refused.value.message
    found = opened("folder", tmp_path, files, holdout=0, memory=0, skip_corrupt=True)
    assert found[torch.tensor([3, 4])][0][:, 0, 0, 0].tolist() == [3, 5]


def test_a_file_replaced_while_training_is_named(tmp_path: Path) -> None:
    found = opened("folder", tmp_path, FLAT, holdout=0, memory=0)
    (tmp_path / "set" / "02.png").write_bytes(picture(2, 9, 9))
    with pytest.raises(Refusal, match=r"02\.png: 9x9 pixels now"):
        found[torch.tensor([2])]


def test_an_entry_that_unpacks_too_far_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", FLAT)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zz.png", bytes(130 * 2**20))
    with pytest.raises(Refusal, match=r"a\.zip/zz\.png: 136314880 bytes"):
        sets.archive("train", path=str(path), holdout=0)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10_000), value=st.integers(0, 255))
def test_a_mutated_archive_is_read_or_refused(
    at: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.zip"
    pack(path, {name: FLAT[name] for name in list(FLAT)[:4]})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = value
    path.write_bytes(data)
    message = "mutated.zip"
    try:
        assert len(sets.archive("train", path=str(path), holdout=0)) <= 4
    except Refusal as refused:
        message = refused.message
    assert "mutated.zip" in message


# ---- workers


def loader(found: ImageSet, order: list[torch.Tensor], **options: Any) -> DataLoader[Any]:
    """Read batches of indices in one worker process."""
    some: Any = found
    return DataLoader(some, sampler=order, batch_size=None, num_workers=1, **options)


@KINDS
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_decode_what_the_main_process_does(kind: str, start: str, tmp_path: Path) -> None:
    found = opened(kind, tmp_path, FLAT, holdout=0, memory=0)
    values(found)  # the archive is open before the workers start
    order = [torch.tensor([7, 3, 7]), torch.tensor([0, 19]), torch.tensor([1])]
    batches = loader(found, order, multiprocessing_context=start)
    seen = [pixels[:, 0, 0, 0].tolist() for pixels, _ in batches]
    assert seen == [batch.tolist() for batch in order]


def in_worker(found: ImageSet) -> None:
    """Fail as in the worker process of a loader, which passes its traceback on as text."""
    list(loader(found, [torch.tensor([4])]))


def as_in_worker(found: ImageSet) -> None:
    """Do to the error what the loader does, without the 5 s it then waits for its worker."""
    try:
        found[torch.tensor([4])]
    except Refusal:
        wrapper: Any = ExceptionWrapper
        wrapper(where="in DataLoader worker process 0").reraise()


@pytest.mark.parametrize("fail", [as_in_worker, pytest.param(in_worker, marks=pytest.mark.slow)])
def test_an_error_in_a_worker_is_one_clean_refusal(
    fail: Callable[[ImageSet], None], tmp_path: Path
) -> None:
    found = opened("folder", tmp_path, {**FLAT, "04.png": picture(4)[:-15]}, holdout=0, memory=0)
    with pytest.raises(Refusal) as refused:
        fail(found)
    lines = refused.value.message.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(str(tmp_path / "set" / "04.png"))
    assert "Traceback" not in refused.value.message


def test_a_set_can_be_copied(tmp_path: Path) -> None:
    found = opened("archive", tmp_path, FLAT, holdout=0, memory=0)
    assert values(pickle.loads(pickle.dumps(found))) == values(found)  # noqa: S301 - our own


# ---- as components


def test_the_catalog_knows_every_set_and_its_knobs() -> None:
    assert set(catalog.names("data")) >= {"mnist", "cifar10", "cifar100", "folder", "archive"}
    knobs = catalog.find("data", "folder").knobs
    assert knobs == catalog.find("data", "archive").knobs
    assert {"path", "size", "mode", "fit", "holdout", "skip_corrupt", "memory"} <= set(knobs)
    assert catalog.load(catalog.find("data", "fashion-mnist")) is sets.fashion_mnist
