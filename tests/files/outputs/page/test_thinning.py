"""A thinned curve keeps its ends, its extremes and its gaps."""

import math

import numpy as np
import pytest

from ddpm_cli.files.outputs.page.thinning import spread, thinned


def test_short_curves_stay() -> None:
    assert thinned([1.0, math.nan, 2.0], 3) == [0, 1, 2]
    assert thinned([], 5) == []


@pytest.mark.parametrize("count", [501, 1000, 12_345])
def test_ends_extremes_and_gaps_stay(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).tolist()
    values[count // 3], values[count // 2], values[2 * count // 3] = 100.0, -100.0, math.nan
    kept = thinned(values, 500)
    assert len(kept) <= 500
    assert {0, count - 1, count // 3, count // 2, 2 * count // 3} <= set(kept)
    assert kept == sorted(set(kept))


def test_nothing_but_gaps() -> None:
    assert 0 < len(thinned([math.nan] * 1000, 100)) <= 100


@pytest.mark.parametrize(
    ("count", "limit", "places"),
    [(0, 3, []), (3, 3, [0, 1, 2]), (5, 0, []), (5, 1, [4]), (5, 2, [0, 4]), (11, 3, [0, 5, 10])],
)
def test_spread(count: int, limit: int, places: list[int]) -> None:
    assert spread(count, limit) == places
