"""Which files a set is cut into, and which of them are for training."""

from pathlib import Path

import pytest

from ddpm_cli.data import shards
from ddpm_cli.data.forms import Form
from ddpm_cli.errors import Refusal

FORM = Form("a tar archive", (".tar",), b"x")


def made(root: Path, *names: str) -> Path:
    """Write files of one byte."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(path: Path, *, hidden: str = "") -> list[str]:
    """What the files are called that are used, with train/ and test/ before them."""
    found = shards.found(path, FORM)
    return [each.name for each in shards.split(found, lambda shard: shard.part == hidden)]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (["b.tar", "a.tar", "no.zip", ".a.tar", ".d/a.tar"], ["a", "b"]),
        (["c-train-0.tar", "c-train-1.tar"], ["c-train-0", "c-train-1"]),
        (["c-test.tar", "c-train.tar"], ["test/c-test", "train/c-train"]),
        (["train/0.tar", "val/0.tar"], ["train/train/0", "test/val/0"]),
        (["Train.tar", "test.tar", "validation.tar"], ["train/Train", "test/test"]),
        (["more.tar", "test.tar"], ["train/more", "test/test"]),
        (["dev.tar", "test.tar"], ["train/dev", "test/test"]),
        (["my.test/train.tar", "my.test/b.tar"], ["train/my.test/train", "test/my.test/b"]),
        (["contest.tar", "trained.tar"], ["contest", "trained"]),
    ],
)
def test_names_say_what_is_for_training(
    there: list[str], expected: list[str], tmp_path: Path
) -> None:
    assert sorted(names(made(tmp_path, *reversed(there)))) == sorted(expected)


def test_a_test_without_classes_gives_way_to_validation(tmp_path: Path) -> None:
    made(tmp_path, "train.tar", "val.tar", "test.tar")
    assert names(tmp_path, hidden="test") == ["train/train", "test/val"]


def test_patterns(tmp_path: Path) -> None:
    made(tmp_path, *(f"{folder}/s-{number:04}.tar" for folder in "ab" for number in range(3)))
    assert names(tmp_path / "a" / "s-{0000..0002}.tar") == ["s-0000", "s-0001", "s-0002"]
    assert names(tmp_path / "{a,b}" / "s-{0001..0002}.tar") == [
        "a/s-0001", "a/s-0002", "b/s-0001", "b/s-0002",
    ]  # fmt: skip
    made(tmp_path, "odd{0..9}.tar")
    assert names(tmp_path / "odd{0..9}.tar") == ["odd{0..9}"]
    for pattern, what in (
        ("s-{0..999999}.tar", "more than the limit"),
        ("{0..999}{0..999}.tar", "more than the limit"),
        ("s-{5..2}.tar", "counts upwards"),
        ("a/s-{0001..0003}.tar", r"s-0003\.tar: No such file"),
        ("s-0.tar", "No such file"),
    ):
        with pytest.raises(Refusal, match=what):
            names(tmp_path / pattern)


def test_a_folder_without_any_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="it is empty"):
        names(tmp_path)
    made(tmp_path, "a.zip")
    with pytest.raises(Refusal, match=r"names end in \.tar\nit holds a\.zip"):
        names(tmp_path)
