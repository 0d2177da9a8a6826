"""Noise near its image: as it was with one draw, nearer with more, of each image by itself."""

import signal
from pathlib import Path

import pytest
import torch
from probes import smooth_denoiser
from runs import assert_same, result, signal_after, train
from torch import Tensor

from ddpm_cli.diffusion.losses import simple
from ddpm_cli.diffusion.pairing import nearest
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import cosine
from ddpm_cli.models import build
from ddpm_cli.settings.config import Layer, resolve

NEAREST = ("--set", "loss.name=simple", "--set", "loss.nearest=4")


def images(count: int, *shape: int) -> Tensor:
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(9))


def test_one_draw_is_the_noise_of_before() -> None:
    x0 = images(3, 1, 4, 4)
    assert torch.equal(nearest(x0, Rng(range(3)), 1), Rng(range(3)).normal(x0))


def test_the_nearest_is_chosen_of_the_draws_of_each_image() -> None:
    x0 = images(5, 2, 3)
    found = nearest(x0, Rng(range(5)), 7)
    for seed in range(5):
        draws = Rng([seed]).normal(torch.empty(1, 7, 2, 3))[0]
        apart = [float((draw - x0[seed]).double().square().sum()) for draw in draws]
        assert torch.equal(found[seed], draws[apart.index(min(apart))])


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_distance_shrinks_as_it_must(count: int) -> None:
    """|eps|^2 of two numbers is exponential with mean 2, so the least of k has mean 2 / k."""
    noise = nearest(torch.zeros(20000, 2), Rng(range(20000)), count)
    mean = float(noise.double().square().sum(1).mean())
    assert mean == pytest.approx(2 / count, rel=5 / 20000**0.5)


def test_an_image_alone_gets_what_it_gets_in_a_batch() -> None:
    x0 = images(16, 1, 8, 8)
    together = nearest(x0, Rng(range(16)), 5)
    for first, last in ((0, 1), (3, 4), (4, 8), (8, 16)):
        assert torch.equal(
            nearest(x0[first:last], Rng(range(first, last)), 5), together[first:last]
        )


def test_the_loss_aims_at_the_image_under_the_noise_chosen() -> None:
    """The network sees x0 + sigma eps, and is told to answer x0, which is (x - sigma eps)."""
    denoise = smooth_denoiser(cosine(), torch.float64)
    x0, t = images(6, 2).double(), torch.full((6,), 0.4, dtype=torch.float64)
    sigma = denoise.schedule.sigma(t)
    x = x0 + sigma[:, None] * nearest(x0, Rng(range(6)), 4)
    unit = denoise.parameterization(sigma, denoise.schedule).out
    expected = ((denoise(x, sigma).x0 - x0) / unit[:, None]).square().mean(1)
    assert torch.allclose(simple(denoise, x0, t, Rng(range(6)), nearest=4), expected)


def test_runs_are_measured_with_any_noise() -> None:
    config = resolve([Layer("here", {"loss": {"name": "min-snr", "gamma": 3.0, "nearest": 8}})])
    assert build.loss(config).keywords == {"gamma": 3.0, "nearest": 8}  # type: ignore[attr-defined]
    measured = build.measured_loss(config).keywords  # type: ignore[attr-defined]
    assert measured == {"gamma": 3.0}


def test_a_run_goes_on_bit_for_bit(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "whole", *NEAREST).code == 0
    with signal_after(5, signal.SIGTERM):
        assert train(data, tmp_path / "parts", *NEAREST).code == 143
    assert train(data, tmp_path / "parts", *NEAREST).code == 0
    assert_same(result(tmp_path / "parts"), result(tmp_path / "whole"))


@pytest.mark.parametrize("loss", ["vlb", "hybrid", "vdm", "dsm", "sliced", "exact"])
def test_losses_that_need_normal_noise_refuse(loss: str, data: Path, tmp_path: Path) -> None:
    choice = ("--set", f"loss.name={loss}", "--set", "loss.nearest=4")
    outcome = train(data, tmp_path / "run", *choice)
    assert outcome.code == 2
    assert f"loss.nearest: unknown key for {loss}" in outcome.err
    assert not (tmp_path / "run").exists()
