"""Values that are far from all that training saw: which one, and how messages call it."""

import math

import pytest
import torch

from ddpm_cli.data import far_values
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.titles import Scores, Titles

PEOPLE = DataInfo(
    (5,),
    mean=(40.0, 0.3, 0.3, 0.4, 0.0),
    std=(10.0, 1.0, 1.0, 1.0, 1.0),
    titles=Titles(
        ("age", "city", "income"),
        (True, False, False),
        categories=((), ("a", "b", "c"), ()),
        scores=(None, None, Scores((1.0, 2.0, 8.0), (-1.0, 0.0, 1.0))),
    ),
)
SIGNALS = DataInfo((2, 3), mean=(0.0, 5.0), std=(1.0, 2.0))


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            (1e300, 0, 3),
            "column age: 1e\\+300 is far from what training saw, 40 with deviation 10",
        ),
        ((41, 2, 1e39), "column income: 1e\\+39 is far from what training saw, 1 to 8"),
        ((-1e6, math.nan, 1e39), "column age: -1e\\+06"),
    ],
)
def test_columns(row: tuple[float, ...], told: str) -> None:
    values = torch.tensor([(40.0, math.nan, 2.0), row], dtype=torch.float64)
    found = far_values.first(values, PEOPLE)
    assert found is not None
    assert found[0] == 1
    value = float(values[found])
    message = far_values.refusal("t.csv: line 3", found[1:], value, PEOPLE).message
    with pytest.raises(AssertionError, match=f"t.csv: line 3, {told}"):
        raise AssertionError(message)


@pytest.mark.parametrize("number", [0.5, 3.0, -1.0, 1e300])
def test_a_number_of_no_category(number: float) -> None:
    values = torch.tensor([(40.0, 2.0, 2.0), (40.0, number, 2.0)], dtype=torch.float64)
    assert far_values.first(values, PEOPLE) == (1, 1)
    message = far_values.refusal("t.npy: row 1", (1,), number, PEOPLE).message
    assert message.startswith(f"t.npy: row 1, column city: {number:g} stands for no word of 0 a, ")


def test_arrays_and_what_is_near() -> None:
    values = torch.zeros(4, 2, 3, dtype=torch.float64)
    assert far_values.first(values, SIGNALS) is None
    values[0, 0, 0], values[2, 1, 2] = math.nan, 3e4
    assert far_values.first(values, SIGNALS) == (2, 1, 2)
    assert "value (1, 2)" in far_values.refusal("x", (1, 2), 3e4, SIGNALS).message
    assert far_values.first(torch.tensor([[1e4, 1, 900.0]]), PEOPLE) is None
