"""Wrappers of a denoiser: what they change, and that they change nothing else."""

import pytest
import torch
from declared import load
from exact import TWO_PIXELS, by_sigma

from ddpm_cli.diffusion.denoiser import Prediction, Wrapped
from ddpm_cli.diffusion.schedules.tables import linear
from ddpm_cli.diffusion.wrappers import clamp
from ddpm_cli.settings import catalog


def prediction(*x0: float) -> Wrapped:
    x = torch.tensor(x0)
    answer = Prediction(x, range=x + 1, covariance=x + 2, score=x + 3)
    return Wrapped(by_sigma(TWO_PIXELS, linear()), lambda x, sigma: answer)


def test_clamp_limits_the_clean_image_and_nothing_else() -> None:
    inner = prediction(-3.0, -0.5, 2.0)
    got, before = (d(torch.zeros(3), torch.tensor(1.0)) for d in (clamp(inner), inner))
    assert got.x0.tolist() == [-1.0, -0.5, 1.0]
    assert got[1:5] == before[1:5]
    assert got.raw is before.x0
    assert clamp(inner, limit=2.5)(torch.zeros(3), torch.tensor(1.0)).x0.tolist() == [
        -2.5,
        -0.5,
        2.0,
    ]


@pytest.mark.parametrize("name", catalog.names("wrappers"))
def test_every_wrapper_keeps_the_schedule(name: str) -> None:
    inner = prediction(0.0)
    assert load("wrappers", name)(inner).schedule is inner.schedule
