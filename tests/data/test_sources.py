"""Where images of a set lie: what is found in folders and archives, and what is not."""

import os
import resource
from pathlib import Path

import pytest
import torch
from image_sets import FLAT, KINDS, MEMORY, fill, opened, pack, picture, values

from ddpm_cli.data.image_set import describe
from ddpm_cli.data.sets import images as sets
from ddpm_cli.errors import ConfigError, Refusal


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
        (sets.archive, fill(tmp_path, {"b.zip": b"no zip"}) / "b.zip", "no zip file"),
        (sets.archive, fill(tmp_path, {"c.zip": path.read_bytes()[:-9]}) / "c.zip", "cut"),
    ]:
        with pytest.raises(Refusal, match=f"(?s){place.name}.*{what}"):
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
