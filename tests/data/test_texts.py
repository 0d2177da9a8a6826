"""Texts beside images: one way to say captions, wherever a set keeps them."""

from pathlib import Path

import pytest
from image_sets import KINDS, opened, picture

from ddpm_cli.data import texts
from ddpm_cli.data.sources import BYTE_LIMIT
from ddpm_cli.errors import Refusal

IMAGES = {f"x/{name}.png": picture(80 * value) for value, name in enumerate("abcd")}


@KINDS
@pytest.mark.parametrize("labels", ["auto", "folders", "none"])
def test_files_of_the_stem_are_texts(kind: str, labels: str, tmp_path: Path) -> None:
    files = {
        "x/a.txt": b"\xef\xbb\xbfa cat\r\n\n  a tom \n",
        "x/c.txt": "红心".encode(),
        "x/e.txt": b"?",
    }
    found = opened(kind, tmp_path, {**IMAGES, **files}, labels=labels, holdout=0)
    assert [found.text(n) for n in range(4)] == ["a cat\na tom", None, "红心", None]


@KINDS
def test_texts_of_a_table_count_before(kind: str, tmp_path: Path) -> None:
    table = b"file_name,text\nx/a.png,one\n"
    files = {**IMAGES, "x/a.txt": b"no", "metadata.csv": table}
    found = opened(kind, tmp_path, files, holdout=0)
    assert [found.text(n) for n in range(2)] == ["one", None]


@KINDS
def test_sets_without_texts_say_none(kind: str, tmp_path: Path) -> None:
    assert opened(kind, tmp_path, IMAGES, holdout=0).text(0) is None


@KINDS
@pytest.mark.parametrize(
    ("data", "message"),
    [(b"\xff", "a.txt: it is beside an image, and no UTF-8"), (b"a" * (texts.LIMIT + 1), "limit")],
)
def test_damage_is_named(data: bytes, message: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=message):
        opened(kind, tmp_path, {**IMAGES, "x/a.txt": data}, holdout=0)
    assert texts.LIMIT < BYTE_LIMIT


def test_values_that_are_texts() -> None:
    assert texts.of("a cat") == "a cat"
    assert texts.of(["a\ncat", "a tom"]) == "a cat\na tom"
    assert texts.of([]) is texts.of(3) is texts.of(["a", 3]) is texts.of(None) is None
    assert texts.captions(None) == []
