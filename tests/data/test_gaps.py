"""Gaps that are filled: the joint distribution stays what it is."""

import torch

from ddpm_cli.data.gaps import filled

COVARIANCE = torch.tensor([[1, 0.8, 0.3], [0.8, 1, 0.5], [0.3, 0.5, 1]], dtype=torch.float64)


def test_covariances_and_means_are_those_of_the_whole_rows() -> None:
    """Also where a cell is missing the more often the larger another one is."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    x = normal @ torch.linalg.cholesky(COVARIANCE).T
    lacking = x.clone()
    lacking[:, 1] = torch.where(x[:, 0] > 0.5, torch.nan, x[:, 1])
    gone = torch.rand(len(x), generator=generator) < 0.3
    lacking[:, 2] = torch.where(gone, torch.nan, x[:, 2])
    done = filled(lacking, torch.arange(15_000), generator)
    known = ~lacking.isnan()
    assert torch.equal(done[known], x[known])
    assert float((done.T.cov() - COVARIANCE).abs().max()) < 0.04
    assert float(done.mean(0).abs().max()) < 0.03
    assert float((done - x)[~known].abs().mean()) > 0.1  # drawn, not the means of what is missing


def test_codes_that_depend_on_each_other_and_rows_without_any_value() -> None:
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (500,), generator=generator).double()
    x = torch.stack([kind, 1 - kind, torch.ones(500, dtype=torch.float64)], 1)
    x[:20] = torch.nan
    x[20:40, :2] = torch.nan
    done = filled(x, torch.arange(500), generator)
    assert bool(done.isfinite().all())
    assert float((done[:, 0] + done[:, 1] - 1).abs().max()) < 0.05
    assert torch.equal(done, filled(x, torch.arange(500), generator)) is False
