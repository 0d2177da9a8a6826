"""Measures of images: ink, slant and thickness of strokes that are drawn for it."""

import math

import pytest
import torch

from ddpm_cli.data import measures


def stroke(slope: float, wide: float) -> torch.Tensor:
    """A soft stroke [1, 1, 64, 64] from bottom to top, leaning by a slope to the right."""
    axis = torch.arange(64.0).double()
    y, x = axis[:, None] - 31.5, axis[None] - 31.5
    away = (x + slope * y).abs() / math.hypot(1, slope)
    image = (0.5 + wide / 2 - away).clamp(0, 1)
    return (image * (y.abs() < 20))[None, None]


@pytest.mark.parametrize("degrees", [-30, 0, 20])
def test_slant_is_the_angle_of_a_stroke(degrees: float) -> None:
    found = measures.slant(stroke(math.tan(math.radians(degrees)), 4))
    assert float(found) == pytest.approx(degrees, abs=0.5)


@pytest.mark.parametrize("wide", [3, 6])
def test_thickness_is_the_width_of_a_stroke(wide: float) -> None:
    for slope in (0, 0.5):
        found = float(measures.thickness(stroke(slope, wide)))
        # Ends are edges, too: 2 l w / (2 l + 2 w).
        assert found == pytest.approx(wide * 40 / (40 + wide), rel=0.15)


def test_ink_is_the_mean_and_nothing_has_no_measure_that_is_not_a_number() -> None:
    assert float(measures.ink(torch.full((1, 1, 4, 4), 0.25))) == 0.25
    for measure in measures.MEASURES.values():
        assert measure(torch.zeros(2, 1, 4, 4)).isfinite().all()
