"""Gradients through the network at the place of its first call."""

import pytest
import torch
from posteriors import DATA, SIZE, numbers

from ddpm_cli.diffusion.posterior_means import Traced


def test_the_first_call_is_followed_back() -> None:
    traced, x = Traced(DATA), numbers(2, SIZE)
    first = traced(x, torch.tensor(0.5)).x0
    traced(2 * x, torch.tensor(1.5))
    assert torch.equal(traced.first.x0, first)
    assert not first.requires_grad
    v = numbers(2, SIZE, seed=9)
    gain = DATA.covariance @ torch.linalg.inv(DATA.covariance + 0.25 * torch.eye(SIZE).double())
    assert torch.allclose(traced.slope(v), v @ gain, atol=1e-12)
    assert torch.allclose(traced.slope(v), v @ gain, atol=1e-12), "twice"


def test_without_a_call_there_is_nothing() -> None:
    for ask in (lambda: Traced(DATA).first, lambda: Traced(DATA).slope(numbers(1, SIZE))):
        with pytest.raises(ValueError, match="asks for no prediction"):
            ask()
