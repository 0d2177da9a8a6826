"""Edits of level lists: RePaint's jumps, EDM's churn, corrector repeats, the way back."""

import hashlib
import math
from itertools import pairwise

import pytest
import torch
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion.edits import churn, jumps, repeat, reverse

GOLDEN = Golden("inpainting")
LISTS = GOLDEN.select("jump_", without=("jump_paper",))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def places(levels: Tensor) -> list[int]:
    """The places of a list made from `ladder`, the 0 at the end being -1."""
    return [round(float(level)) - 1 for level in levels]


def ladder(count: int) -> Tensor:
    return torch.arange(count, -1, -1, dtype=torch.float64)


def jumped(case: Case) -> list[int]:
    params = case.params
    pairs = [
        (params[f"jump{n}_length"], params[f"jump{n}_n_sample"])
        for n in ("3", "2", "")
        if f"jump{n}_length" in params
    ]
    lengths, visits = zip(*pairs, strict=True)
    again, lowest = params.get("n_sample", 1), params.get("start_resampling")
    made = jumps(ladder(params["t_T"]), lengths=lengths, visits=visits, again=again, lowest=lowest)
    return places(made)


@pytest.mark.parametrize(
    ("lengths", "visits", "message"),
    [((4, 2), (2, 2), "must rise"), ((9,), (2,), "do not fit"), ((2,), (2, 2), "one of each")],
)
def test_lists_of_jumps_that_do_not_fit(
    lengths: tuple[int, ...], visits: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        jumps(ladder(8), lengths=lengths, visits=visits)


@pytest.mark.parametrize("key", LISTS)
def test_jumps_are_those_of_repaint(key: str) -> None:
    case, got = GOLDEN[key], jumped(GOLDEN[key])
    digest = hashlib.sha256(",".join(map(str, got)).encode()).hexdigest()
    assert digest == case.values["sha256_of_comma_joined"]
    assert case.values["times"] in (None, got)
    assert sum(b < a for a, b in pairwise(got)) == case.values["n_reverse_steps"]


def test_jumps_of_the_paper_are_the_defaults() -> None:
    got = places(jumps(ladder(250)))
    digest = hashlib.sha256(",".join(map(str, got)).encode()).hexdigest()
    assert digest == GOLDEN["jump_paper"].values["sha256_of_comma_joined"]


def test_jumps_take_levels_as_they_are() -> None:
    levels = tensor(9, 4, 0.5, 0)
    got = jumps(levels, lengths=[1], visits=[2])
    assert got.tolist() == [9, 4, 9, 4, 0.5, 4, 0.5, 0]


def test_jumps_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="2 lengths but 1 visits"):
        jumps(ladder(9), lengths=[1, 2], visits=[2])
    with pytest.raises(ValueError, match="put jumps before other edits"):
        jumps(repeat(ladder(9)))


def test_churn_raises_levels_within_its_range() -> None:
    got = churn(tensor(8, 4, 2, 1, 0), amount=1.0, low=2, high=4)
    assert got.tolist() == [8, 4, 5, 2, 2.5, 1, 0]


def test_churn_is_bounded_and_may_be_nothing() -> None:
    levels = tensor(4, 1, 0)
    assert churn(levels, amount=40.0)[1] == pytest.approx(4 * math.sqrt(2))
    assert torch.equal(churn(levels, amount=0.0), levels)


def test_churn_leaves_corrections_and_climbs_alone() -> None:
    got = churn(tensor(4, 4, 6, 1, 0), amount=1.0)
    assert got.tolist() == [4, 4, 6, 7.5, 1, 1.25, 0]


def test_repeat_stays_at_every_positive_level() -> None:
    assert repeat(tensor(3, 1, 0), count=2).tolist() == [3, 3, 3, 1, 1, 1, 0]


def test_reverse_climbs_from_the_lowest_level() -> None:
    assert reverse(tensor(3, 1, 0)).tolist() == [1, 3]
