"""How close images are: by hand."""

import math

import pytest
import torch

from ddpm_cli.evaluation.fidelity import psnr


def test_each_image_has_its_own_decibels() -> None:
    """A difference of one level of 255 in every pixel is 20 log10(255) dB."""
    wanted = torch.zeros(3, 1, 4, 4)
    images = wanted + torch.tensor([2 / 255, -0.2, 0.0]).reshape(3, 1, 1, 1)
    decibels = psnr(images, wanted)
    assert decibels.dtype == torch.float64
    assert decibels.tolist() == pytest.approx([20 * math.log10(255), 20, math.inf], rel=1e-6)


def test_it_is_the_mean_square_that_counts() -> None:
    images = torch.tensor([[0.3, 0.4, 0.0, 0.0]])
    assert float(psnr(images, torch.zeros(1, 4))) == pytest.approx(10 * math.log10(64))
