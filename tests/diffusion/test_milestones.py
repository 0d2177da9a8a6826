"""States of a walk to look at: evenly in log-SNR where they differ."""

import pytest
import torch

from ddpm_cli.diffusion.milestones import HIGH, LOW, milestones


def test_they_are_even_in_log_snr_where_something_happens() -> None:
    levels = torch.cat([torch.logspace(2, -3, 5001, dtype=torch.float64), torch.zeros(1)])
    places = milestones(levels, 8)
    assert (places[0], places[-1]) == (0, len(levels) - 1)
    chosen = levels[places[1:-1]]
    ratio = (HIGH / LOW) ** (1 / 7)
    assert (chosen[:-1] / chosen[1:]).tolist() == pytest.approx([ratio] * 5, rel=0.01)
    assert float(chosen[0]) == pytest.approx(HIGH / ratio, rel=0.01)


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 50])
@pytest.mark.parametrize(
    "levels",
    [
        [80, 40, 20, 10, 5, 1, 1e-3, 0],
        [0.1] * 7 + [0],
        [3, 1, 2, 1, 0.5, 1, 0.2, 0],
        [9e9, 0.2, 0],
    ],
)
def test_no_state_is_twice_and_both_ends_are_there(levels: list[float], count: int) -> None:
    places = milestones(torch.tensor(levels), count)
    assert len(places) == min(count, len(levels))
    assert sorted({*places}) == places
    assert (places[0], places[-1]) == (0, len(levels) - 1)


def test_moves_on_one_level_count_alike() -> None:
    levels = torch.cat([torch.full((1001,), 0.1), torch.zeros(1)])
    assert milestones(levels, 4) == [0, 334, 667, 1001]
    jumps = torch.tensor([1.0, 0.5, 1.0, 0.5, 0.0])
    assert milestones(jumps, 3) == [0, 1, 4] or milestones(jumps, 3) == [0, 2, 4]


def test_images_change_at_higher_levels() -> None:
    levels = torch.cat([torch.logspace(2, -3, 501, dtype=torch.float64), torch.zeros(1)])
    assert levels[milestones(levels, 8, 6.0)[1]] > levels[milestones(levels, 8)[1]]
