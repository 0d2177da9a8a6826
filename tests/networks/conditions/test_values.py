"""Numbers that are told: what their features tell apart, and the two ways into a network."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.networks import dit, mlp, ncsnpp, unet
from ddpm_cli.networks.conditions.values import FASTEST, described, values

TOLD = {"values": values(2, features=8)}
ROWS = torch.tensor([[1.0, -0.5], [math.nan, 0.3], [math.nan, math.nan]])
LABEL = torch.tensor([1.0, 2.0, 3.0])
SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 1], "blocks": 1, "attention": []}


def test_features_tell_all_numbers_apart_and_near_ones_are_near() -> None:
    numbers = torch.linspace(-4, 4, 801, dtype=torch.float64)
    features = described(numbers[:, None], 64)[:, 0]
    assert torch.equal(features[:, 0], numbers)
    waves, plain = features[:, 1:], "donot_use_mm_for_euclid_dist"
    apart = torch.cdist(waves, waves, compute_mode=plain)
    near = apart[:-1].diagonal(1)  # of numbers that differ by 0.01
    assert float(near.min()) > 0
    assert float(near.max()) <= 0.01 * FASTEST * 32**0.5
    assert torch.allclose(near, near[0].expand_as(near))  # alike over the whole range
    far = (numbers[:, None] - numbers).abs() >= 0.2
    assert float(apart[far].min()) > 5 * float(near.max())
    slowest = features[:, -1]  # the sine of the lowest frequency
    assert (slowest.diff() > 0).all()


def test_features_grow_beyond_what_is_usual() -> None:
    beyond = described(torch.tensor([[6.0], [60.0]]), 8)[:, 0]
    assert beyond[:, 0].tolist() == [6, 60]
    assert (beyond[:, 1:].abs() <= 1).all()


def networks(inject: str) -> list[tuple[nn.Module, Tensor]]:
    image, row = torch.randn(3, 1, 8, 8).double(), torch.randn(3, 4).double()
    way: Any = {"inject": inject}
    return [
        (unet((1, 8, 8), 0, TOLD, **SMALL, **way), image),
        (unet((1, 8, 8), 0, TOLD, **SMALL, **way, scale_shift=True, resample_blocks=True), image),
        (ncsnpp((1, 8, 8), 0, TOLD, **SMALL, **way), image),
        (dit((1, 8, 8), 0, TOLD, width=16, depth=1, heads=2, **way), image),
        (mlp((4,), 0, TOLD, width=16, depth=1, **way), row),
    ]


@pytest.mark.parametrize("inject", ["add", "adaptive"])
@pytest.mark.parametrize("number", range(5))
def test_both_ways_are_learned_from_the_first_step_and_count(number: int, inject: str) -> None:
    torch.manual_seed(0)
    network, x = networks(inject)[number]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            # What starts as zero is no longer, but for the way of numbers into the blocks.
            if ".tell." not in name and not weight.any():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    network = network.double()
    without = network(x, LABEL.double())
    told = network(x, LABEL.double(), values=ROWS)
    zero_at_first = inject == "adaptive" and number < 3
    assert torch.equal(told, without) == zero_at_first
    (told - x.flatten(1).sum(1).reshape(-1, *[1] * (x.ndim - 1))).square().mean().backward()
    learned = [name for name, weight in network.named_parameters() if weight.grad is not None]
    ways = [name for name in learned if ".tell.weight" in name]
    assert bool(ways) == zero_at_first
    for name in ways or ["told.values.out.weight", "told.values.stem.weight"]:
        gradient = network.get_parameter(name).grad
        assert gradient is not None
        assert gradient.any(), name


def test_single_numbers_are_left_out_only_of_several() -> None:
    assert values(1).drop_each == 0
    assert values(3, drop_each=0.2).drop_each == 0.2
