"""Rows of text as values of a table, and back to the letter."""

import math

import pytest
import torch

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.titles import Titles

TITLES = Titles(
    ("age", "height [cm]", "job"),
    (True, False, False),
    categories=((), (), ("clerk, 1st", "Nurse", "none")),
)
INFO = DataInfo((5,), mean=(0.0,) * 5, std=(1.0,) * 5, titles=TITLES)
ROWS = [["40", "160.2", "Nurse"], ["-3", "1e-05", "clerk, 1st"], ["", "0.1", "none"]]


def test_text_comes_back_under_its_names() -> None:
    values = INFO.values_of(ROWS)
    assert values[:2].tolist() == [[40, 160.2, 1], [-3, 1e-5, 0]]
    assert math.isnan(values[2, 0])
    assert INFO.cells(values) == [["age", "height [cm]", "job"], *ROWS]
    assert INFO.cells(INFO.finished(INFO.normalized(values))) == INFO.cells(values)


def test_names_put_columns_in_order_and_others_are_left_out() -> None:
    rows = [[" job", "id", "height [cm]", "age"], ["none", "x", "NA", "7"]]
    values = INFO.values_of(rows)
    assert values[0, [0, 2]].tolist() == [7, 2]
    assert math.isnan(values[0, 1])


def test_digits_bring_back_the_float32() -> None:
    numbers = torch.tensor([[0.1, 1 / 3, 3e8, 1e-20, 16777216.0]])
    info = DataInfo((5,), mean=(0.0,) * 5, std=(1.0,) * 5)
    names, row = info.cells(numbers)
    assert names == ["x1", "x2", "x3", "x4", "x5"]
    assert row[:2] == ["0.1", "0.33333334"]
    assert torch.equal(info.values_of([row]).float(), numbers)


def test_numbers_name_categories_however_they_are_written() -> None:
    titles = Titles(None, (False,), categories=(("1", "2", "10"),))
    info = DataInfo((3,), mean=(0.0,) * 3, std=(1.0,) * 3, titles=titles)
    assert info.values_of([["2.0"], ["10"], ["01"], ["nan"]])[:3, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    ("rows", "message", "fix"),
    [
        (
            [["40", "160", "nurs"]],
            "row 0, column job: 'nurs' is no",
            "did you mean Nurse?",
        ),
        ([["4o", "160", "none"]], "row 0, column age: '4o' is no number", "nothing if it is not"),
        ([["40", "160"]], "row 0: 2 cells, expected 3", "a cell for each column"),
        (
            [["age", "job"], ["1", "none"]],
            "no column is named 'height [cm]'",
            "--mask 'height [cm]', draws",
        ),
        (
            [["age", "job", "job", "height [cm]"], ["1", "none", "none", "2"]],
            "two columns are named 'job'",
            "leave one",
        ),
    ],
)
def test_what_is_no_value_is_refused(rows: list[list[str]], message: str, fix: str) -> None:
    with pytest.raises(Refusal) as caught:
        INFO.values_of(rows, "t.csv")
    first, hint = caught.value.message.splitlines()
    assert first.startswith("t.csv: ")
    assert message in first
    assert fix in hint
