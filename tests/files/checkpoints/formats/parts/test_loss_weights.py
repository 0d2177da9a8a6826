"""Predictions are told by the loss weights of a training."""

import math

import pytest
import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import cosine, linear
from ddpm_cli.files.checkpoints.formats.parts.loss_weights import objective


def weights(name: str, gamma: float, sigma: Tensor) -> Tensor:
    """Weights as min-SNR's authors give them, rounded as they are kept."""
    snr = sigma**-2
    cut = snr.clamp(max=gamma)
    return {"eps": cut / snr, "x0": cut, "v": cut / (snr + 1)}[name].float()


@pytest.mark.parametrize("gamma", [math.inf, 20.0, 5.0, 1.0])
@pytest.mark.parametrize("name", ["eps", "x0", "v"])
@pytest.mark.parametrize("steps", [64, 1000])
def test_every_prediction_is_told(name: str, gamma: float, steps: int) -> None:
    for process in (cosine(steps=steps), linear(steps=steps)):
        sigma = process.levels.float()
        found = objective(weights(name, gamma, process.levels), sigma)
        assert found is not None
        assert found.name == name
        assert found.gamma == (None if gamma == math.inf else pytest.approx(gamma, rel=1e-3))


def test_other_weights_tell_nothing() -> None:
    sigma = linear().levels
    assert objective(torch.full_like(sigma, 2.0), sigma) is None
    assert objective(torch.linspace(1, 2, len(sigma)), sigma) is None
