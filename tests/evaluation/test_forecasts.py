"""Scores of forecasts."""

import pytest
import torch

from ddpm_cli.evaluation.forecasts import crps, crps_of_normal, naive


def test_the_score_of_samples_is_that_of_pairs() -> None:
    samples, truth = torch.tensor([[1.0, 0.0], [4.0, 0.0], [2.0, 3.0]]), torch.tensor([3.0, 1.0])
    want = []
    for column, y in zip(samples.T, truth, strict=True):
        pairs = [(a - b).abs() for i, a in enumerate(column) for b in column[:i]]
        want.append(float((column - y).abs().mean() - sum(pairs) / 3 / 2))
    assert crps(samples, truth).tolist() == pytest.approx(want)
    assert crps(samples[:1], truth).tolist() == [2.0, 1.0]


def test_samples_of_a_normal_law_have_its_score() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = 1 + 2 * torch.randn(200_000, 3, generator=generator, dtype=torch.float64)
    truth = torch.tensor([1.0, 4.0, -6.0])
    mean, deviation = torch.tensor(1.0).double(), torch.tensor(2.0).double()
    want = crps_of_normal(mean, deviation, truth)
    assert (crps(samples, truth) - want).abs().max() < 0.01
    at_mean = 2 * (2**0.5 - 1) / torch.pi**0.5  # s (sqrt 2 - 1) / sqrt pi at the mean
    assert float(want[0]) == pytest.approx(at_mean)


def test_few_samples_have_the_same_mean_score() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(4, 100_000, generator=generator, dtype=torch.float64)
    one = torch.ones((), dtype=torch.float64)
    want = float(crps_of_normal(0 * one, one, one))
    assert float(crps(samples, torch.ones(100_000)).mean()) == pytest.approx(want, abs=0.01)


def test_the_naive_forecast_repeats_a_period() -> None:
    past = torch.arange(7.0)[None]
    assert naive(past, 5, 3).tolist() == [[4, 5, 6, 4, 5]]
