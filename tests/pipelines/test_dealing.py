"""Whole batches are dealt in turn; tests/commands/test_sample.py has processes do it."""

import pytest

from ddpm_cli.pipelines.dealing import Deal
from ddpm_cli.training.distributed import Group


@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 12])
def test_every_seed_is_dealt_once_in_whole_batches(ranks: int, count: int) -> None:
    seeds = [10 + number for number in range(count)]
    batches = [seeds[first : first + 2] for first in range(0, count, 2)]
    deals = [Deal.of(seeds, 2, Group(rank, ranks, rank)) for rank in range(ranks)]
    hands = [[d.mine[i : i + 2] for i in range(0, len(d.mine), 2)] for d in deals]
    dealt = [batch for hand in hands for batch in hand]
    assert dealt == [batch for rank in range(ranks) for batch in batches[rank::ranks]]
    assert {deal.rounds for deal in deals} == {max(map(len, hands))}
