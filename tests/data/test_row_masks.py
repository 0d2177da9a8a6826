"""Places in rows: columns as the file numbers them, cells by their lines, slices, files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddpm_cli.data import given_rows, row_masks
from ddpm_cli.data.given_rows import Given
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.titles import Titles

TITLES = Titles(("age", "height", "city"), (True, False, True), label="kind", place=0)
PEOPLE = DataInfo((3,), ("a", "b"), mean=(0.0,) * 3, std=(1.0,) * 3, titles=TITLES)
SIGNALS = DataInfo((2, 6), mean=(0.0, 0.0), std=(1.0, 1.0))
TABLE = "kind,city,age,height,memo\na,1,2,3,x\nb,4,5,6,y\na,7,8,9,z\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(text: str) -> Given:
    Path("t.csv").write_text(text)
    return given_rows.read(Source("t.csv", "t"), PEOPLE)


def array(*shape: int) -> Given:
    return Given(Source("a.npy", "a"), torch.zeros(shape), range(shape[0]))


def cells(anew: Tensor) -> set[tuple[int, ...]]:
    """The rows and columns that are made anew, both from 0."""
    return {tuple(place) for place in anew.nonzero().tolist()}


def masked(word: str, given: Given, info: DataInfo = PEOPLE) -> set[tuple[int, ...]]:
    row_masks.refuse_unknown([word], info)
    return cells(row_masks.mask([word], info, given))


@pytest.mark.parametrize(
    ("word", "want"),
    [
        ("age", {(0, 0), (1, 0), (2, 0)}),
        ("3", {(0, 0), (1, 0), (2, 0)}),
        ("3:2", {(0, 0)}),
        ("2:4", {(2, 2)}),
        ("2:3-4", {(1, 2), (2, 2)}),
        ("2:2,4", {(0, 2), (2, 2)}),
        ("height:3", {(1, 1)}),
        ("2-4:3", {(1, 0), (1, 1), (1, 2)}),
    ],
)
def test_numbers_are_those_of_the_file(word: str, want: set[tuple[int, int]]) -> None:
    assert masked(word, read(TABLE)) == want


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("1", r"column 1 \(kind\) is the class"),
        ("1:2", r"column 1 \(kind\) is the class"),
        ("1-3", r"column 1 \(kind\) is the class"),
        ("kind", "kind is the class"),
        ("kind:2", "kind is the class"),
        ("5", r"column 5 \(memo\) is none of those"),
        ("memo", "no column is named so|memo is none of those"),
        ("6", "columns of t.csv have numbers from 1 to 5"),
        ("4-6", "numbers from 1 to 5"),
        ("0:2", "numbers from 1"),
        ("4-2", "numbers from 1"),
        ("2:1", "'1' are no lines of values; write lines from 2 to 4"),
        ("2:5", "'5' are no lines"),
        ("2:", "columns in another order"),
        (":2", "columns in another order"),
        ("agge:3", "did you mean age"),
        ("age,height", "no column is named so"),
    ],
)
def test_what_names_no_values_is_refused(word: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        masked(word, read(TABLE))


def test_rows_of_an_array_count_from_0_and_slices_are_open() -> None:
    info = DataInfo((3,), mean=(0.0,) * 3, std=(1.0,) * 3)
    given = array(4, 3)
    assert masked("1:2", given, info) == {(2, 0)}
    assert masked("2:1", given, info) == {(1, 1)}
    assert masked("2:0-1", given, info) == {(0, 1), (1, 1)}
    assert masked("1:", given, info) == {(row, at) for row in range(4) for at in (1, 2)}
    assert masked("2-3", given, info) == masked("1:", given, info)
    assert masked("-1:", given, info) == masked("3", given, info)
    for word, told in {"1:4": "rows from 0 to 3", "3:-1": "rows", "9:": "nothing in rows of 3",
                       "1,2": "a --mask each"}.items():  # fmt: skip
        with pytest.raises(ConfigError, match=told):
            masked(word, given, info)


def test_arrays_of_more_axes_have_slices_alone() -> None:
    given = array(2, 2, 6)
    assert masked("2:4", given, SIGNALS) == {(n, c, at) for n in (0, 1) for c in (0, 1)
                                             for at in (2, 3)}  # fmt: skip
    assert masked("0,-1:", given, SIGNALS) == {(0, 0, 5), (1, 0, 5)}
    with pytest.raises(ConfigError, match="no slice"):
        masked("age", given, SIGNALS)


def test_a_table_without_names_has_its_class_where_it_stood() -> None:
    given = read("0,2,3,4\n1,5,6,7\n")
    assert given.values[:, 0].tolist() == [2, 5]
    assert masked("2:2", given) == {(1, 0)}


class TestTables:
    """A table of 0 and 1, its columns by name or as those of the rows stand."""

    def test_by_name_and_by_place(self) -> None:
        given = read(TABLE)
        Path("m.csv").write_text("city,height,age\n0,0,0\n0,1,0\n1,0,0\n")
        assert masked("m.csv", given) == {(1, 1), (2, 2)}
        Path("m.csv").write_text("0,0,0,0,0\n0,0,0,1,0\n0,1,0,0,0\n")
        assert masked("m.csv", given) == {(1, 1), (2, 2)}
        np.save("m.npy", np.array([0, 1, 0]))
        Path("m.csv").write_text("age,city,height\n0,0,1\n")
        assert masked("m.npy", given) == masked("m.csv", given) == {(0, 1), (1, 1), (2, 1)}

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("age,city\n0,1\n", "no column is named 'height'\na mask has a column for each"),
            ("0,1,0,1\n", "4 columns without names, the model knows 3"),
            ("0,2,0\n", "0 and 1 alone"),
        ],
    )
    def test_others_are_refused(self, text: str, told: str) -> None:
        Path("m.csv").write_text(text)
        with pytest.raises(Refusal) as refused:
            masked("m.csv", read(TABLE))
        assert told in refused.value.message
