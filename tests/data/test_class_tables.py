"""Classes of image sets from a CSV file: what is read, and what is refused with file and line."""

from pathlib import Path
from typing import Any

import pytest
from image_sets import KINDS, opened, picture

from ddpm_cli.data import class_tables
from ddpm_cli.errors import Refusal

IMAGES = {f"{name}.png": picture(value) for value, name in enumerate("abcd")}
ROWS = "file,label\na.png,cat\nb.png,dog\nc.png,ant\nd.png,cat\n"


def read(kind: str, place: Path, table: str | bytes = ROWS, **knobs: Any) -> Any:
    """Open the four images with a table beside them."""
    data = table.encode() if isinstance(table, str) else table
    files = {**IMAGES, "labels.csv": data}
    return opened(kind, place, files, **{"labels": "csv", "holdout": 0, **knobs})


@KINDS
@pytest.mark.parametrize("memory", [0, 1])
def test_classes_are_those_of_the_table(kind: str, memory: int, tmp_path: Path) -> None:
    found = read(kind, tmp_path, memory=memory)
    assert found.classes == ("ant", "cat", "dog")
    assert found.labels.tolist() == [1, 2, 0, 1]
    assert found.frequencies() == [0.25, 0.5, 0.25]


@KINDS
@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
@pytest.mark.parametrize("top", ["", "top/", "top/inner/"])
def test_the_table_lies_in_the_folder_that_all_images_share(
    top: str, name: str, kind: str, tmp_path: Path
) -> None:
    files = {f"{top}x/{image}": data for image, data in IMAGES.items() if image < "c"}
    files |= {f"{top}y/{image}": data for image, data in IMAGES.items() if image >= "c"}
    table = "file_name,class\nx/a.png,0\n./x/b.png,1\ny//c.png,1\ny/d.png,0\n"
    data = {**files, f"{top}{name}": table.encode()}
    found = opened(kind, tmp_path, data, labels="csv", holdout=0)
    assert (found.classes, found.labels.tolist()) == (("0", "1"), [0, 1, 1, 0])


def test_splits_have_the_same_classes(tmp_path: Path) -> None:
    for kind in ("folder", "archive"):
        parts = {
            split: opened(
                kind,
                tmp_path,
                {**IMAGES, "labels.csv": ROWS.encode()},
                split,
                labels="csv",
                holdout=0.5,
            )
            for split in ("train", "test")
        }
        assert {part.classes for part in parts.values()} == {("ant", "cat", "dog")}
        assert sum(map(len, parts.values())) == 4


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["10", "9", "-1", "9"], ("-1", "9", "10")),
        (["10", "9", "b", "9"], ("10", "9", "b")),
        (["ü", "z", "B", "a"], ("B", "a", "z", "ü")),
    ],
)
def test_numbers_are_sorted_as_numbers(
    words: list[str], expected: tuple[str, ...], tmp_path: Path
) -> None:
    rows = "".join(f"{name},{word}\n" for name, word in zip(IMAGES, words, strict=True))
    found = read("folder", tmp_path, f"file,label\n{rows}")
    assert found.classes == expected
    assert [found.classes[number] for number in found.labels] == words


@pytest.mark.parametrize(
    "table",
    [
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace("\n", "\r\n"),
        "\ufeff" + ROWS,
        ROWS.replace("file,label", " File , LABEL "),
        ROWS + "\n , \n",
        ROWS.replace("cat", '"cat"'),
        "label,note,file\ncat,,a.png\ndog,x,b.png\nant,,c.png\ncat,,d.png",
    ],
)
def test_tables_as_other_programs_write_them(table: str, tmp_path: Path) -> None:
    found = read("archive", tmp_path, table)
    assert (found.classes, found.labels.tolist()) == (("ant", "cat", "dog"), [1, 2, 0, 1])


@KINDS
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ROWS + "e.png,cat\n", r"line 6: 'e\.png' is none of the images"),
        (ROWS + "../a.png,cat\n", r"line 6: '\.\./a\.png' is none of the images"),
        (ROWS + "a.png,cat\n", r"line 6: 'a\.png' again, it is in line 2"),
        (ROWS + "./a.png,dog\n", r"line 6: '\./a\.png' again, it is in line 2"),
        (ROWS.replace("b.png,dog\n", ""), r"no row for .*b\.png"),
        (ROWS.replace("dog", " "), "line 3: no label"),
        (ROWS.replace("b.png,dog", "b.png"), "line 3: 1 value, expected 2"),
        (ROWS.replace("b.png,dog", '"b.png'), "line 5: unexpected end of data"),
        (ROWS.replace("file,", "name,"), "line 1: no column named file or file_name"),
        (ROWS.replace("label", "kind"), "line 1: no column named label or class"),
        (ROWS.replace("label", "file_name"), "line 1: more than one column named file"),
        ("", "line 1: no column named file"),
        ("file,label\n", r"no row for .*a\.png"),
        (ROWS.encode("utf-16"), "line 1: not UTF-8 text"),
        (ROWS.replace("dog", "süß").encode("latin-1"), "line 3: not UTF-8 text"),
        (b"\x00\xff", "line 1: not UTF-8 text"),
    ],
)
def test_tables_that_do_not_fit_are_refused(
    table: str | bytes, message: str, kind: str, tmp_path: Path
) -> None:
    with pytest.raises(Refusal, match=message) as caught:
        read(kind, tmp_path, table)
    assert "labels.csv: " in caught.value.message.splitlines()[0]


@KINDS
def test_the_table_must_be_there_and_alone(kind: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(Refusal, match=r"neither labels\.csv nor metadata\.csv lies above"):
        opened(kind, tmp_path / "a", IMAGES, labels="csv", holdout=0)
    both = {**IMAGES, "labels.csv": b"", "metadata.csv": b""}
    with pytest.raises(Refusal, match=r"labels\.csv and metadata\.csv are in it"):
        opened(kind, tmp_path / "b", both, labels="csv", holdout=0)


def test_a_table_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set" / "labels.csv").mkdir(parents=True)
    with pytest.raises(Refusal, match=r"labels\.csv: not a regular file"):
        opened("folder", tmp_path, IMAGES, labels="csv", holdout=0)


@KINDS
def test_a_table_is_ignored_unless_asked_for(kind: str, tmp_path: Path) -> None:
    assert read(kind, tmp_path, "nonsense", labels="folders").classes is None


def test_there_is_a_limit_of_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_tables, "CLASS_LIMIT", 2)
    with pytest.raises(Refusal, match="3 classes; at most 2"):
        read("folder", tmp_path)
