"""Series whose law is known."""

import torch

from ddpm_cli.data import seasons


def test_series_have_their_covariance() -> None:
    law = seasons.covariance(12, 4, 0.3)
    assert torch.allclose(law.diagonal(), torch.full((12,), 1 + 0.25 + 0.25 + 0.09).double())
    assert torch.allclose(law[0, 4], law[0, 0] - 0.09 * (1 - torch.tensor(0.9).double() ** 4))
    rows = seasons.drawn(40000, torch.linalg.cholesky(law), torch.Generator().manual_seed(0))
    assert rows.shape == (40000, 1, 12)
    assert (rows[:, 0].T.cov() - law).abs().max() < 0.05


def test_the_best_forecast_leaves_an_error_that_the_past_does_not_tell() -> None:
    law = seasons.covariance(10, 4, 0.3)
    rows = seasons.drawn(40000, torch.linalg.cholesky(law), torch.Generator().manual_seed(0))[:, 0]
    mean, spread = seasons.forecast(law, rows[:, :7])
    error = rows[:, 7:] - mean
    both = torch.cat([error, rows[:, :7]], dim=1).T.cov()
    assert (both[:3, :3] - spread).abs().max() < 0.01
    assert both[:3, 3:].abs().max() < 0.02
