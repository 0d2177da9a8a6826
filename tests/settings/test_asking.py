"""What --value says: lists and ranges, and what is refused; texts of a file."""

import io
from pathlib import Path

import pytest

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.settings import asking

NAMES = ("age", "weight [kg]", "a=b")


@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        ("age=37", [37.0]),
        ("age=-1.5e2", [-150.0]),
        ("weight [kg]=60", [60.0]),
        ("a=b=3", [3.0]),
        ("age=20,none, 40", [20.0, None, 40.0]),
        ("age=20:80:10", [20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0]),
        ("age=0:0.3:0.1", [0.0, 0.1, 0.2, 0.3]),  # as they are written, not 0.30000000000000004
        ("age=3:1:-1,9", [3.0, 2.0, 1.0, 9.0]),
        ("age=5:5:1", [5.0]),
    ],
)
def test_numbers_stand_alone_in_lists_and_in_ranges(
    word: str, numbers: list[float | None]
) -> None:
    (found,) = asking.numbers([word], NAMES).items()
    assert found == (word.rpartition("=")[0], tuple(numbers))
    assert asking.numbers(asking.words(dict([found])), NAMES) == dict([found])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["age"], "write NAME=NUMBER, as age=37"),
        (["=3"], "write NAME=NUMBER"),
        (["ages=3"], "no value is named 'ages'; did you mean age?"),
        (["age=3", "age=4"], "given twice; several numbers stand behind commas"),
        (["age="], "no number"),
        (["age=3,"], "no number"),
        (["age=nan"], "no number"),
        (["age=inf"], "no number"),
        (["age=1e999"], "no number"),
        (["age=20:80"], "write START:STOP:STEP"),
        (["age=20:80:7"], "steps of 7 from 20 miss 80; stop at 76 or 83"),
        (["age=20:80:0"], "a step of 0 does not lead from 20 to 80"),
        (["age=20:80:-10"], "a step of -10 does not lead from 20 to 80"),
        (["age=0:1e9:1"], "at most 10000"),
        (["age=0:none:1"], "no number"),
    ],
)
def test_what_is_no_number_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match="--value") as refused:
        asking.numbers(words, NAMES)
    assert said in refused.value.message


def test_texts_of_a_file_are_its_lines_that_are_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(b"\xef\xbb\xbfred heart\r\n\n  blue star \n" + "红心\n".encode())
    assert asking.texts(str(path)) == ["red heart", "blue star", "红心"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a\nb")))
    assert asking.texts("-") == ["a", "b"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\n \n", "no text in it"),
        (b"a\xff", "no UTF-8 at byte 1"),
        (b"red\0heart\n", "text 1: a NUL byte"),
        (b"a" * 10_001, "text 1: 10001 characters; at most 10000"),
    ],
)
def test_files_of_other_things_are_refused(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(data)
    with pytest.raises((Refusal, ConfigError), match=said):
        asking.texts(str(path))


def test_bytes_of_no_text_are_refused() -> None:
    with pytest.raises(ConfigError, match="--text: no UTF-8 at character 2; write it in UTF-8"):
        asking.check("re\udc80", "--text")
