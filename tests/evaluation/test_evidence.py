"""Moments of features are those of numpy."""

import numpy as np
import pytest
import torch

from ddpm_cli.errors import Refusal
from ddpm_cli.evaluation.evidence import Moments


def test_moments_are_numpys():
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)) + 1000
    got = Moments.of(rows)
    assert got.count == 50
    np.testing.assert_allclose(got.mean, rows.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(got.covariance, np.cov(rows.double().numpy().T), rtol=1e-10)


def test_moments_of_one_feature_are_a_matrix():
    assert Moments.of(torch.tensor([[1.0], [3.0]])).covariance.tolist() == [[2.0]]


def test_one_image_has_no_covariance():
    with pytest.raises(Refusal, match="two or more"):
        Moments.of(torch.zeros(1, 3))
