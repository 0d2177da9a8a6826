"""Numbers and texts that a program gives beside its rows: each stays with its row."""

from typing import Any

import pytest
import torch

from ddpm_cli.data.python_sets import sets
from ddpm_cli.errors import ConfigError

ROWS = torch.arange(40.0)[:, None].repeat(1, 2)
AGES = ROWS[:, 0] * 2
TEXTS = [f"row {row}" if row else None for row in range(40)]


def test_numbers_and_texts_stay_with_their_rows_in_both_parts() -> None:
    made = sets(ROWS, holdout=0.25, values={"age": AGES, "none": [None] * 39 + [1]}, texts=TEXTS)
    known = made.train.values
    assert known is not None
    assert made.test.values == known
    assert known.names == ("age", "none")
    for part, count in ((made.train, 30), (made.test, 10)):
        values, told = part[torch.arange(count)]
        number = (values * torch.tensor(part.std) + torch.tensor(part.mean))[:, 0]
        age = told["values"][:, 0] * known.std[0] + known.mean[0]
        assert torch.allclose(age, 2 * number, atol=1e-3)
        assert part.texts is not None
        rows = [round(float(one)) for one in number]
        assert [part.texts.of(row) for row in range(count)] == [TEXTS[row] for row in rows]
    assert made.digest != sets(ROWS, holdout=0.25, values={"age": AGES}).digest
    assert made.digest != sets(ROWS, holdout=0.25).digest


def test_sets_that_are_given_apart_have_a_pair() -> None:
    told = ({"age": AGES}, {"age": AGES[:5] + 1})
    made = sets(ROWS, ROWS[:5], values=told, texts=(TEXTS, TEXTS[:5]))
    assert made.train.values is not None
    shown = made.test.conditions["values"][:, 0] * made.train.values.std[0]
    assert torch.allclose(shown + made.train.values.mean[0], AGES[:5] + 1, atol=1e-3)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"values": AGES}, "values: give numbers by name"),
        ({"values": {}}, "values: give numbers by name"),
        ({"values": {"age": AGES[:3]}}, "values: age: 3 for 40 rows"),
        ({"values": {"age": ["a"] * 40}}, "values: age: no numbers"),
        ({"values": {"age": AGES / 0}}, "values: age: a number that is not finite"),
        ({"values": ({"age": AGES}, {"size": AGES})}, "values: test says size, data age"),
        ({"texts": "abc"}, "texts: 0 for 40 rows"),
        ({"texts": ["a"]}, "texts: 1 for 40 rows"),
        ({"texts": [3] * 40}, "texts: 3 is no text"),
    ],
)
def test_what_fits_no_rows_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        sets(ROWS, **more)
