"""Training and test part of a set: disjoint, complete, and always the same."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_sets import FLAT, KINDS, MEMORY, fill, opened, picture, values

from ddpm_cli.data import image_set, splits
from ddpm_cli.data.class_tables import numbered
from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.splits import Split, arrange
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.header import read_header


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


@pytest.mark.parametrize(
    ("folders", "classes"),
    [
        (["10", "9", "1", "0.5", "-1"], ("-1", "0.5", "1", "9", "10")),
        (["010", "2", "001"], ("001", "2", "010")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["1_0", "9"], ("1_0", "9")),
    ],
)
def test_folders_are_numbered_as_labels_in_tables_are(
    folders: list[str], classes: tuple[str, ...]
) -> None:
    found = arrange(Names(f"{name}/a.png" for name in folders), "train", 0, "folders")
    assert found.classes == classes == numbered(folders, "")[1]
    named = {name.partition("/")[0]: classes[n] for name, n in zip(*found[:2], strict=True)}
    assert all(folder == name for folder, name in named.items())


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

    def beside(self, name: str) -> bytes | None:
        """Nothing lies beside them."""
        return None


@pytest.mark.parametrize(
    ("folders", "held"),
    [
        (["train", "test"], "test"),
        (["train", "val"], "val"),
        (["train", "validation", "test"], "test"),
        (["train", "valid", "dogs"], None),
        (["val", "test"], None),
    ],
)
def test_folders_of_splits(folders: list[str], held: str | None) -> None:
    names = Names(f"{folder}/{label}/a.png" for folder in folders for label in ("cat", "dog"))
    splits: tuple[Split, Split] = ("train", "test")
    parts = {split: arrange(names, split, 0.5, "folders") for split in splits}
    if held is None:
        assert parts["train"].classes == tuple(sorted(folders))
        return
    for split, folder in {"train": "train", "test": held}.items():
        found = parts[split]  # type: ignore[index]
        assert found.names == [f"{folder}/cat/a.png", f"{folder}/dog/a.png"]
        assert (found.labels, found.classes) == ([0, 1], ("cat", "dog"))


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


def test_a_run_whose_folders_are_in_the_order_of_letters_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As runs from before folders were ordered as numbers are."""
    monkeypatch.chdir(tmp_path)
    names = [f"months/{month}/{n}.png" for month in (1, 2, 10) for n in range(9)]
    fill(tmp_path, {name: picture(number, 8, 8) for number, name in enumerate(names)})
    network = "network={name='unet', width=8, multipliers=[1], attention=[], blocks=1, classes=3}"
    words = [
        *("train", "--set", "data={name='folder', path='months'}", "--set", network, *runs.PLAIN),
        *("--set", "levels.count=2", "--set", "train.warmup=1", "--batch", 8, "-o", "run"),
    ]
    measure = ("nll", "-m", "run", "--split", "train", "--class", "own", "--steps", 4, "--json")
    with monkeypatch.context() as before:
        before.setattr(splits, "in_order", lambda names: tuple(sorted(names)))
        runs.done(*words, "--steps", 2)
        expected = json.loads(runs.done(*measure).out.splitlines()[-1])
    assert read_header(Path("run/model.safetensors")).data.classes == ("1", "10", "2")
    assert json.loads(runs.done(*measure).out.splitlines()[-1])["bits"] == expected["bits"]
    runs.done("fit", "run", "-n", 4, "--grid", 5, *runs.PLAIN)
    runs.done(*words, "--steps", 4)
    assert read_header(Path("run/model.safetensors")).data.classes == ("1", "10", "2")
    drawn = runs.done("sample", "-m", "run", "--class", "1-2", "--json", "-o", "a/").out
    assert [json.loads(line)["class"] for line in drawn.splitlines()] == ["1", "2"]


def test_labels_follow_the_order_of_a_model() -> None:
    labels = torch.tensor([0, 1, 2, 1])
    data = ImageSet(torch.zeros(4, 1, 2, 2), (1, 2, 2), labels, ("1", "2", "10"))
    other = image_set.numbered_as(data, ("1", "10", "2"))
    assert other.labels is not None
    assert other.labels.tolist() == other[torch.arange(4)][1]["classes"].tolist() == [0, 2, 1, 2]
    assert other.frequencies() == [0.25, 0.25, 0.5]
    assert data.classes == ("1", "2", "10")
    for classes in (None, ("1", "2", "10"), ("1", "2"), ("1", "2", "x")):
        assert image_set.numbered_as(data, classes) is data
