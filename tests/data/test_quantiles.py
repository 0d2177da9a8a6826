"""Normal scores of skewed columns: monotone, exact on the data, and without heaps at the ends."""

import pytest
import torch

from ddpm_cli.data.quantiles import KNOTS, fitted
from ddpm_cli.files import codes
from ddpm_cli.files.titles import Titles


def lognormal(count: int = 20_000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return (1 + torch.randn(count, generator=generator, dtype=torch.float64)).exp()


def titles(values: torch.Tensor) -> Titles:
    return Titles(None, (False,), scores=(fitted(values),))


def back(z: torch.Tensor, known: Titles) -> torch.Tensor:
    return codes.decoded(z[:, None], known)[:, 0]


def test_a_lognormal_becomes_normal_and_comes_back() -> None:
    values = lognormal()
    known = titles(values)
    z = codes.coded(values[:, None], known)[:, 0]
    normal = torch.distributions.Normal(0.0, 1.0)
    ranks = (torch.arange(len(z)) + 0.5) / len(z)
    assert float((normal.cdf(z.sort().values) - ranks).abs().max()) < 2e-3
    assert float((z - (values.log() - 1)).abs().median()) < 0.02
    assert torch.equal(back(z, known).float(), values.float())
    scores = known.scores[0]
    assert scores is not None
    assert len(scores.values) <= KNOTS + 2


def test_it_is_monotone_also_between_and_beyond_the_data() -> None:
    known = titles(lognormal(300))
    z = torch.linspace(-4, 8, 5000, dtype=torch.float64)
    values = back(z, known)
    assert bool((values.diff() >= 0).all())
    seen = values > 0
    assert float((codes.coded(values[:, None], known)[seen, 0] - z[seen]).abs().max()) < 1e-9


def test_new_normals_come_back_as_the_distribution_without_heaps_or_extremes() -> None:
    data = lognormal()
    generator = torch.Generator().manual_seed(5)
    new = back(torch.randn(20_000, generator=generator, dtype=torch.float64), titles(data))
    shares = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    ratio = new.quantile(shares) / data.quantile(shares)
    assert float((ratio - 1).abs().max()) < 0.08
    assert int((new >= data.max()).sum()) + int((new <= data.min()).sum()) < 12
    assert len(new.unique()) > 19_990
    assert float(new.max()) < 3 * float(data.max())
    assert float(new.min()) >= 0


def test_a_value_that_many_share_is_an_end_and_comes_back() -> None:
    values = torch.cat([torch.zeros(500, dtype=torch.float64), lognormal(500)])
    known = titles(values)
    z = codes.coded(values[:, None], known)[:, 0]
    assert torch.equal(back(z, known).float(), values.float())
    assert back(torch.tensor([-5.0]), known).tolist() == [0.0]
    assert float(back(torch.tensor([5.0]), known)) > float(values.max())


@pytest.mark.parametrize("values", [[3.0, 3.0, 3.0], [1.0, float("nan")]])
def test_a_constant_has_no_scores(values: list[float]) -> None:
    assert fitted(torch.tensor(values)) is None


def test_gaps_are_left_out() -> None:
    values = torch.tensor([1.0, float("nan"), 4.0, 9.0], dtype=torch.float64)
    assert fitted(values) == fitted(values[[0, 2, 3]])
    seen = codes.coded(values[:, None], titles(values))[:, 0]
    assert seen.isnan().tolist() == [False, True, False, False]


def test_two_values_are_enough() -> None:
    known = titles(torch.tensor([-1.0, 1.0]))
    assert back(torch.tensor([-0.6744897501960817, 0.6744897501960817]), known).tolist() == [
        pytest.approx(-1.0),
        pytest.approx(1.0),
    ]
