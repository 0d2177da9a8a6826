"""The bound taken apart: terms and progressive coding of two images, by hand."""

import pytest
import torch

from ddpm_cli.diffusion.schedules import linear
from ddpm_cli.evaluation.coding import Curve

LEVELS = torch.cat([linear().sigma(torch.tensor([1.0, 0.5])), torch.zeros(1)]).double()
BITS = torch.tensor([[0.0, 0.2], [1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)  # [L + 1, B]
ERROR = torch.tensor([[0.36, 0.64], [0.01, 0.03]], dtype=torch.float64)  # [L, B]


def curve() -> Curve:
    """Both images, added one by one."""
    both = Curve(LEVELS)
    for image in (slice(0, 1), slice(1, 2)):
        both.add(BITS[:, image], ERROR[:, image])
    return both


def test_terms_are_means_with_their_errors() -> None:
    rows = curve().terms(linear())
    assert [row["term"] for row in rows] == ["L_T", "L_t-1", "L_0"]
    assert [row["t"] for row in rows] == pytest.approx([1000, 1000, 500])
    assert [row["bits"] for row in rows] == pytest.approx([0.1, 1.5, 4.0])
    # Of two values, the standard error is half their difference.
    assert [row["bits_error"] for row in rows] == pytest.approx([0.1, 0.5, 1.0])
    assert [row["mse_x0"] for row in rows] == [None, pytest.approx(0.5), pytest.approx(0.02)]
    assert rows[2]["mse_eps"] == pytest.approx(0.02 / float(LEVELS[1]) ** 2)


def test_one_image_has_no_error() -> None:
    alone = Curve(LEVELS)
    alone.add(BITS[:, :1], ERROR[:, :1])
    assert {row["bits_error"] for row in alone.terms(linear())} == {None}


def test_bits_add_up_and_the_image_is_whole_at_last() -> None:
    rows = curve().rates(linear())
    assert [row["t"] for row in rows] == pytest.approx([1000, 500, 0])
    assert [row["rate"] for row in rows] == pytest.approx([0.1, 1.6, 5.6])
    wrong = [127.5 * 0.5**0.5, 127.5 * 0.02**0.5, 0]
    assert [row["distortion"] for row in rows] == pytest.approx(wrong)
