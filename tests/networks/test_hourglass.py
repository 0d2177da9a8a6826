"""The hourglass transformer."""

from itertools import product
from typing import Any

import pytest
import torch
from probes import images, lively

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks import hdit

SMALL: dict[str, Any] = {
    "widths": [16, 24],
    "depths": [2],
    "head_widths": [8],
    "reach": [3],
    "mapping_width": 8,
    "mapping_depth": 1,
}


def make(size: int = 8, channels: int = 1, extra: int = 0, **knobs: Any) -> hdit:
    torch.manual_seed(0)
    made = lively(hdit((channels, size, size), extra, **SMALL | knobs))
    assert isinstance(made, hdit)
    return made


@pytest.mark.parametrize("attention", [["neighborhood", "global"], ["window"], ["none"]])
def test_output_has_the_size_of_the_input(attention: list[str]) -> None:
    for size, patch in product((28, 7), (1, 2, 4)):
        out = make(size, patch=patch, attention=attention)(images(2, 1, size), torch.ones(2))
        assert out.shape == (2, 1, size, size)
        assert out.isfinite().all()
        assert out[..., -1].std() > 1e-3
        assert out[..., -1, :].std() > 1e-3


def test_image_need_not_be_square_nor_as_large_as_trained() -> None:
    network = make(8, 3, patch=2)
    assert network(torch.zeros(1, 3, 9, 14), torch.zeros(1)).shape == (1, 3, 9, 14)


@pytest.mark.parametrize("kind", ["neighborhood", "window", "global", "none"])
def test_far_pixels_are_seen_by_global_attention_alone(kind: str) -> None:
    """One level, two blocks: windows of 4 that are shifted, or 3 neighbours."""
    network = make(
        32, patch=2, widths=[16], attention=[kind], reach=[4 if kind == "window" else 3]
    )
    x, label = images(1, 1, 32), torch.ones(1)
    moved = x.clone()
    moved[..., :2, :2] += 1
    changed = (network(moved, label) - network(x, label)).abs()[0, 0]
    reach = {"neighborhood": 3, "window": 6, "global": 16, "none": 1}[kind] * 2
    assert changed[:reach, :reach].amax() > 1e-3
    assert (changed[-2:, -2:].amax() > 1e-6) == (kind == "global")
    if kind != "global":
        assert not changed[reach:].any()


def test_blocks_count_on_over_both_ways_of_a_level() -> None:
    network = make(depths=[1, 3], attention=["window"], reach=[4])
    shifts = [
        block.mix.shift
        for level in (*network.down, network.middle, *network.up)
        for block in level.blocks
    ]
    assert shifts == [0, 0, 2, 0, 2]


def test_conditions_are_seen() -> None:
    network, x = make(extra=2, augmented=True), images(2, 1, 8)
    out = network(x, torch.ones(2), None, torch.zeros(2, 2, 8, 8))
    assert (network(x, torch.ones(2), None, torch.ones(2, 2, 8, 8)) - out).abs().max() > 1e-3
    assert (network(x, torch.zeros(2), None, torch.zeros(2, 2, 8, 8)) - out).abs().max() > 1e-3


def test_integers_are_labels_too() -> None:
    network, x = make(), images(2, 1, 8)
    assert torch.equal(network(x, torch.tensor([3, 4])), network(x, torch.tensor([3.0, 4.0])))


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"depths": [1, 1, 1]}, "network.depths: 3 values of 2 levels"),
        ({"head_widths": [10]}, "network.head_widths: 10 does not divide 16 channels"),
    ],
)
def test_levels_that_do_not_fit_are_refused(knobs: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make(**knobs)
    with pytest.raises(ValueError, match="no images"):
        hdit((3,))


def test_frequencies_stay_exact_in_16_bits() -> None:
    network = make()
    before = network.down[0].blocks[0].mix.rotation.frequencies.clone()
    after = network.bfloat16().down[0].blocks[0].mix.rotation.frequencies
    assert after.dtype == torch.float32
    assert torch.equal(after, before)
