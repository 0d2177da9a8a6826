"""Scales of pixels: exact both ways at any depth, and what is refused or suggested."""

import pytest
import torch

from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import BYTES, WIDE, OutOfRange, Scale


@pytest.mark.parametrize(
    "scale", [BYTES, WIDE, Scale(0, 4095), Scale(1000, 65535), Scale(3, 60001), Scale(16, 235)]
)
def test_every_pixel_comes_back(scale: Scale) -> None:
    pixels = torch.arange(scale.low, scale.high + 1)
    values = scale.values(pixels)
    assert (values.min(), values.max()) == (-1, 1)
    assert values.unique().numel() == len(pixels)
    again = scale.pixels(values)
    assert again.equal(pixels.to(again.dtype))
    assert again.dtype == (torch.int32 if scale.high > 255 else torch.uint8)


def test_what_leaves_the_scale_is_clamped() -> None:
    assert Scale(10, 4095).pixels(torch.tensor([-3.0, 0.0, 3.0])).tolist() == [10, 2052, 4095]


def test_bits_of_a_level() -> None:
    assert (BYTES.bits, Scale(0, 4095).bits, WIDE.bits) == (8, 12, 16)


@pytest.mark.parametrize("values", [None, [], [1], [5, 5], [9, 1], [-1, 9], [0, 65536], [0, 1.5]])
def test_no_scale(values: object) -> None:
    assert scales.of(values) is None


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        (0, 4080, Scale(0, 4095)),
        (51, 1024, Scale(0, 2047)),
        (0, 1, Scale(0, 1)),
        (30000, 31000, Scale(30000, 31000)),
        (7, 60, Scale(0, 63)),
    ],
)
def test_suggested(low: int, high: int, scale: Scale) -> None:
    assert scales.fitting(low, high) == scale


def test_values_outside_are_refused_with_the_setting_that_works() -> None:
    scales.refuse_outside("x.png", 0, 4095, Scale(0, 4095))
    with pytest.raises(OutOfRange, match=r"x\.png: has values from 51 to 4089") as refused:
        scales.refuse_outside("x.png", 51, 4089, Scale(0, 1023))
    assert "--set data.range=[0,4095]" in refused.value.message


def test_a_quarter() -> None:
    assert scales.is_few(0, 63, BYTES)
    assert not scales.is_few(0, 64, BYTES)
    assert scales.is_few(0, 4095, WIDE)


def test_files_say_of_their_scale_what_their_bits_do_not() -> None:
    assert scales.recorded(BYTES, False) == scales.recorded(WIDE, True) == {}
    assert scales.recorded(Scale(0, 4095), True) == {"range": [0, 4095]}
    assert scales.recorded(BYTES, True) == {"range": [0, 255]}
