"""Edits of level lists: RePaint's jumps, EDM's churn, corrector repeats, the way back."""

import hashlib
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from golden.load_golden import Case, Golden
from torch import Tensor

from ddpm_cli.diffusion import steps
from ddpm_cli.diffusion.edits import churn, daps, jumps, repeat, reverse
from ddpm_cli.diffusion.exponential import HIGHEST, orders_left
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.variances import limited

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
    got = churn(tensor(4, 4, 1, 4, 1, 0), amount=0.5)
    assert got.tolist() == [4, 4, 5, 1, 4, 5, 1, 1.25, 0]


class TestChurnCountsTheStepsOfTheSampler:
    """gamma = min(S_churn / N, sqrt(2) - 1), N the sampler's steps (Karras 2022, algorithm 2)."""

    @pytest.mark.parametrize("count", [5, 18, 40])
    @pytest.mark.parametrize(
        "before",
        [
            (),
            (partial(repeat, count=3),),
            (partial(jumps, lengths=[2], visits=[4]),),
            (partial(jumps, lengths=[1, 3], visits=[2, 3], again=2, lowest=4),),
            (partial(jumps, lengths=[2], visits=[2]), partial(repeat, count=2)),
            (partial(churn, low=1e9),),
        ],
    )
    def test_whatever_was_edited_before(
        self, count: int, before: tuple[Callable[[Tensor], Tensor], ...]
    ) -> None:
        levels = ladder(count)
        for edit in before:
            levels = edit(levels)
        wanted = [levels[0]]
        for t, s in pairwise(levels):
            wanted += [t * (1 + 0.8 / count), s] if s < t else [s]
        assert torch.allclose(churn(levels, amount=0.8, high=1e9, low=0), torch.stack(wanted))

    def test_after_another_churn(self) -> None:
        once = churn(ladder(8), amount=0.8, high=3.0)
        assert steps.ladder(once).tolist() == ladder(8).tolist()
        twice = churn(once, amount=0.4, low=3.5)
        assert twice[:3].tolist() == [8, 8 * 1.05, 7]

    @pytest.mark.parametrize("after", [partial(repeat, count=2), lambda levels: levels])
    def test_whatever_is_edited_after(self, after: Callable[[Tensor], Tensor]) -> None:
        got = after(churn(ladder(8), amount=0.8)).unique()
        assert all(float((got - level * 1.1).abs().min()) < 1e-9 for level in range(1, 9))

    def test_the_ladder_of_a_walk_is_the_list_before_its_edits(self) -> None:
        levels = tensor(80, 7, 0.3, 0.1, 0)
        for edit in (churn, repeat, partial(jumps, lengths=[1, 2], visits=[2, 3])):
            assert torch.equal(steps.ladder(edit(levels)), levels)
            assert torch.equal(steps.ladder(churn(repeat(edit(levels)))), levels)


class TestMovesThatEditsAdd:
    """A walk of few steps ends on low orders, and on limited noise, however it was edited."""

    @pytest.mark.parametrize(
        "edit", [partial(repeat, count=4), partial(jumps, lengths=[2], visits=[9]), churn]
    )
    def test_do_not_make_a_short_walk_a_long_one(self, edit: Callable[[Tensor], Tensor]) -> None:
        levels = edit(ladder(8))
        orders = [
            orders_left(steps.Move(t, s, number, levels), 15)
            for number, (t, s) in enumerate(pairwise(levels))
            if s < t
        ]
        assert orders[-3:] == [3, 2, 1]
        assert min(orders[:-3]) > 3
        last = len(levels) - 2
        assert orders_left(steps.Move(levels[-2], levels[-1], last, levels), 8) == HIGHEST

    def test_nor_on_the_way_up(self) -> None:
        levels = reverse(ladder(8))
        moves = [steps.Move(t, s, n, levels) for n, (t, s) in enumerate(pairwise(levels))]
        assert [move.left for move in moves] == [6, 5, 4, 3, 2, 1, 0]
        assert [orders_left(move, 15) for move in moves] == [7, 6, 5, 4, 3, 2, 1]
        assert {orders_left(move, 7) for move in moves} == {HIGHEST}

    def test_are_no_noisy_moves(self) -> None:
        """clip_pixels counts moves down: the last one has no noise."""
        levels = repeat(ladder(3), count=2)
        moves = [steps.Move(t, s, n, levels) for n, (t, s) in enumerate(pairwise(levels))]
        assert [move.left for move in moves if move.s < move.t] == [2, 1, 0]
        wide = torch.ones(()).double()
        clipped = [limited(wide, linear(), move, 1.0, 1) < 1 for move in moves if move.s < move.t]
        assert clipped == [False, True, True]


def test_repeat_stays_at_every_positive_level() -> None:
    assert repeat(tensor(3, 1, 0), count=2).tolist() == [3, 3, 3, 1, 1, 1, 0]


def test_reverse_climbs_from_the_lowest_level() -> None:
    assert reverse(tensor(3, 1, 0)).tolist() == [1, 3]


class TestDaps:
    def test_goes_down_from_each_level_and_steps_on_the_image(self) -> None:
        made = daps(tensor(8, 2, 1, 0), moves=3)
        ends = (8, 2, 1)
        zeros = (made == 0).nonzero()[:, 0].tolist()
        assert made[0] == 8
        assert len(zeros) == 2 * len(ends)
        for end, start in zip(ends, (0, *[zeros[i] + 1 for i in (1, 3)]), strict=True):
            assert made[start] == end
        middle = ((8 ** (1 / 7) + 1) / 2) ** 7
        assert made[:5].tolist() == pytest.approx([8, middle, 1, 0, 0])
        assert made[-3:].tolist() == [1, 0, 0]

    def test_refuses_a_list_that_climbs(self) -> None:
        with pytest.raises(ValueError, match="leave other edits out"):
            daps(tensor(2, 1, 2, 1, 0))

    def test_refuses_too_many_moves(self) -> None:
        with pytest.raises(ValueError, match="more than 200,000 moves"):
            daps(ladder(2000), moves=200)
