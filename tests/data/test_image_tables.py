"""Tables beside images: Hugging Face's metadata files, their labels and texts, and damage."""

import json
from pathlib import Path
from typing import Any

import pytest
from image_sets import KINDS, opened, picture

from ddpm_cli.errors import Refusal
from ddpm_cli.settings import following

IMAGES = {f"{name}.png": picture(80 * value) for value, name in enumerate("abcd")}
LABELS = ("cat", "dog", "ant", "cat")
FOLDERS = {f"{'xy'[n > 1]}/{name}": data for n, (name, data) in enumerate(IMAGES.items())}


def lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def table(ending: str, **columns: Any) -> bytes:
    """The four images with columns, as one of the two kinds of files has them."""
    rows = [
        {"file_name": name, **{key: values[n] for key, values in columns.items()}}
        for n, name in enumerate(IMAGES)
    ]
    if ending == "jsonl":
        return lines(rows)
    text = [",".join(map(str, row.values())) for row in rows]
    return "\n".join([",".join(rows[0]), *text]).encode()


ENDINGS = pytest.mark.parametrize("ending", ["csv", "jsonl"])


@KINDS
@ENDINGS
@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (LABELS, ("ant", "cat", "dog"), [1, 2, 0, 1]),
        ((10, 9, 2, 9), ("2", "9", "10"), [2, 1, 0, 1]),
    ],
)
def test_labels_and_texts_are_found_by_themselves(
    labels: Any, classes: Any, numbers: Any, ending: str, kind: str, tmp_path: Path
) -> None:
    texts = ("one", "two words", "", "four")
    data = table(ending, label=labels, text=texts)
    found = opened(kind, tmp_path, {**IMAGES, f"metadata.{ending}": data}, holdout=0)
    assert (found.classes, found.labels.tolist()) == (classes, numbers)  # type: ignore[union-attr]
    assert [found.text(n) for n in range(4)] == ["one", "two words", None, "four"]
    assert found.origin == f"metadata.{ending}"
    assert found.notes == ()


@KINDS
@ENDINGS
@pytest.mark.parametrize("everywhere", [False, True])
def test_split_folders_have_a_table_each_or_one_together(
    everywhere: bool, ending: str, kind: str, tmp_path: Path
) -> None:
    files = {f"{part}/{name}": data for part in ("train", "test") for name, data in IMAGES.items()}
    if everywhere:
        rows = [{"file_name": name, "label": int(name[-5] > "b")} for name in files]
        files["metadata.jsonl"] = lines(rows)
    else:
        for part, names in (("train", "1100"), ("test", "0102")):
            files[f"{part}/metadata.{ending}"] = table(ending, label=[*map(int, names)])
    for part in ("train", "test"):
        place = tmp_path / part
        place.mkdir()
        found = opened(kind, place, files, part)  # type: ignore[arg-type]
        known = [0, 0, 1, 1] if everywhere else {"train": [1, 1, 0, 0], "test": [0, 1, 0, 2]}[part]
        assert found.labels.tolist() == known  # type: ignore[union-attr]
        assert found.classes == ("0", "1", "2")[: 3 - everywhere]


@KINDS
def test_a_table_of_texts_alone_leaves_the_folders_their_classes(
    kind: str, tmp_path: Path
) -> None:
    data = lines([{"file_name": name, "text": name[0]} for name in [*FOLDERS][:3]])
    found = opened(kind, tmp_path, {**FOLDERS, "metadata.jsonl": data}, holdout=0)
    assert (found.classes, found.origin) == (("x", "y"), "the folders' names")
    assert [found.text(n) for n in range(4)] == ["x", "x", "y", None]


@KINDS
def test_without_classes_there_still_are_texts(kind: str, tmp_path: Path) -> None:
    data = lines([{"file_name": name, "label": "x", "text": ["one ", "two"]} for name in FOLDERS])
    files = {**FOLDERS, "metadata.jsonl": data}
    found = opened(kind, tmp_path, files, labels="none", holdout=0)
    assert (found.classes, found.text(0)) == (None, "one\ntwo")
    bad = opened(kind, tmp_path, {**files, "metadata.jsonl": b"[1]"}, labels="none", holdout=0)
    assert (bad.classes, bad.text(0)) == (None, None)
    assert bad.notes[0].endswith("line 1: no JSON object; so its texts are not read")


@KINDS
@pytest.mark.parametrize(("labels", "classes"), [("folders", ("x", "y")), ("none", None)])
def test_what_is_told_counts(labels: str, classes: Any, kind: str, tmp_path: Path) -> None:
    data = {**FOLDERS, "metadata.csv": b"file_name,label\nx/a.png,1\n"}
    assert opened(kind, tmp_path, data, labels=labels, holdout=0).classes == classes


@KINDS
@pytest.mark.parametrize("name", ["labels.csv", "metadata.jsonl"])
def test_tables_of_other_things_are_left_alone_and_named(
    name: str, kind: str, tmp_path: Path
) -> None:
    data = b'{"id": 3, "label": 1}\n' if name.endswith("l") else b"id,label\n3,1\n"
    found = opened(kind, tmp_path, {**FOLDERS, name: data}, holdout=0)
    assert found.classes == ("x", "y")
    (note,) = found.notes
    assert note.endswith(f"{name}: no column named file or file_name, so it is not read")


GOOD = {"file_name": "a.png", "label": 1}


@KINDS
@pytest.mark.parametrize("labels", ["auto", "csv"])
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("csv", b"file_name,label\na.png,1\nz.png,2\n", "line 3: 'z.png' is none of the images"),
        ("csv", b"file_name,label\na.png,1\nb.png\n", "line 3: 1 value, expected 2"),
        ("csv", b"file_name,label\na.png,1\nb.png,\n", "line 3: no label"),
        ("csv", b"file_name,label\na.png,1\n", "no row for "),
        ("jsonl", lines([GOOD]) + b"{not json\n", "line 2: no JSON object"),
        ("jsonl", lines([GOOD]) + b"[1, 2]\n", "line 2: no JSON object"),
        ("jsonl", lines([GOOD]) + b"[" * 10**5 + b"\n", "line 2: no JSON object"),
        ("jsonl", lines([GOOD, {"label": 1}]), "line 2: no column named file or file_name"),
        ("jsonl", lines([GOOD, {"file_name": "z.png", "label": 1}]), "line 2: 'z.png' is none"),
        ("jsonl", lines([GOOD, GOOD]), "line 2: 'a.png' again, it is in line 1"),
        ("jsonl", lines([GOOD, {"file_name": ["a"], "label": 1}]), 'line 2: ["a"] is neither a'),
        ("jsonl", lines([GOOD, {"file_name": "b.png", "label": None}]), "line 2: no label"),
        ("jsonl", lines([GOOD]) + b"\xff\n", "line 2: not UTF-8 text"),
    ],
)
def test_damaged_rows_are_named(
    name: str, data: bytes, message: str, labels: str, kind: str, tmp_path: Path
) -> None:
    files = {**dict([*IMAGES.items()][: 2 if "no label" in message else 4])}
    files[f"metadata.{name}"] = data
    with pytest.raises(Refusal) as caught:
        opened(kind, tmp_path, files, labels=labels, holdout=0)
    first, *rest = caught.value.message.splitlines()
    assert message in first
    assert f"metadata.{name}: " in first
    assert len(rest) <= 2
    assert ("data.labels=folders" in "".join(rest)) == (labels == "auto")


def test_two_tables_in_one_folder_are_refused(tmp_path: Path) -> None:
    both = {f"metadata.{ending}": table(ending, label=LABELS) for ending in ("csv", "jsonl")}
    with pytest.raises(Refusal, match=r"metadata\.csv and metadata\.jsonl are in it"):
        opened("folder", tmp_path, {**IMAGES, **both})


def test_a_run_keeps_the_labels_it_began_with() -> None:
    before = {"data": {"name": "folder", "labels": "folders"}, "network": {"classes": 2}}
    now = {"data": {"name": "folder", "labels": "auto"}, "network": {"classes": "auto"}}
    assert following.as_before(now, before) == before
