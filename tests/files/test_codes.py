"""What a network sees of the columns of a table, and that it comes back."""

import math

import pytest
import torch

from ddpm_cli.data import quantiles
from ddpm_cli.data.array_set import ArraySet, statistics
from ddpm_cli.files import codes
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.titles import Titles
from ddpm_cli.models import datasets
from ddpm_cli.settings.knobs import Encode

WORDS = ("a", "b", "c", "d", "e")


def mixed(encode: Encode, count: int = 400) -> tuple[torch.Tensor, DataInfo]:
    """Rows of a skewed number, a category, an integer and a number, and how they are seen."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(count, 4, generator=generator, dtype=torch.float64)
    values[:, 0] = values[:, 0].exp()
    shares = torch.tensor([0.5, 0.3, 0.1, 0.05, 0.05])
    values[:, 1] = torch.multinomial(shares, count, True, generator=generator)
    values[:, 2] = (10 * values[:, 2]).round()
    scores = (quantiles.fitted(values[:, 0]), None, None, None)
    words: tuple[tuple[str, ...], ...] = ((), WORDS, (), ())
    titles = Titles(None, (False, False, True, False), None, words, encode, scores)
    mean, std = statistics(codes.coded(values, titles), "test", titles.widths)
    return values, datasets.data_info(ArraySet(values, mean, std, titles=titles))


@pytest.mark.parametrize("encode", ["onehot", "bits"])
def test_values_come_back(encode: Encode) -> None:
    values, info = mixed(encode)
    x = info.normalized(values)
    assert (info.shape, info.row) == (((8,) if encode == "onehot" else (6,)), (4,))
    assert x.shape[1:] == info.shape
    back = info.finished(x)
    assert back.dtype == torch.float32
    assert torch.equal(back, values.float())
    assert torch.equal(info.finished(x + 0.02 * torch.sin(9 * x))[:, 1:3], values[:, 1:3].float())


@pytest.mark.parametrize("encode", ["onehot", "bits"])
def test_codes_are_centred_and_of_unit_variance(encode: Encode) -> None:
    values, info = mixed(encode)
    assert info.titles is not None
    x = info.normalized(values)
    assert torch.allclose(x.mean(0), torch.zeros(1, dtype=torch.float64), atol=1e-12)
    parts = torch.split(x.var(0, correction=0), info.titles.widths)
    assert all(float(part.mean()) == pytest.approx(1) for part in parts)
    if encode == "onehot":  # words are equally far apart, whatever their shares
        every = info.normalized(torch.tensor([[1.0, k, 0, 0] for k in range(5)]))[:, 1:6]
        apart = torch.cdist(every, every)[~torch.eye(5, dtype=torch.bool)]
        assert float(apart.max() - apart.min()) < 1e-9


def test_a_gap_is_missing_in_all_of_its_codes_and_back() -> None:
    values, info = mixed("onehot", 30)
    values[0, 1] = values[1, 0] = values[2, 3] = math.nan
    x = info.normalized(values)
    assert x.isnan().sum(1).tolist() == [5, 1, 1, *[0] * 27]
    assert torch.equal(info.finished(x).isnan(), values.isnan())


def test_bits_of_no_category_are_those_of_the_nearest() -> None:
    titles = Titles(None, (False,), None, (WORDS,), "bits")
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    found = codes.decoded(every, titles)[:, 0]
    assert 0 <= float(found.min()) <= float(found.max()) <= 4
    known = codes.coded(torch.arange(5.0)[:, None], titles)
    assert codes.decoded(known, titles)[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_the_determinant_is_that_of_the_jacobian() -> None:
    values, info = mixed("onehot", 50)
    numbers = info._replace(shape=(3,))
    keep = [0, 6, 7]
    between = 0.003 * torch.tensor([1.0, 0, 0, 0])  # the knots of the line
    for row in values[:5] + between:

        def seen(cells: torch.Tensor, row: torch.Tensor = row) -> torch.Tensor:
            full = row.clone()
            full[[0, 2, 3]] = cells
            return numbers.normalized(full[None])[0, keep]

        own = row[[0, 2, 3]]
        step = 1e-7 * torch.eye(3, dtype=torch.float64)
        jacobian = torch.stack([(seen(own + s) - seen(own - s)) / 2e-7 for s in step], 1)
        words = -sum(map(math.log, (info.std or ())[1:6]))
        expected = float(jacobian.det().abs().log()) + words
        assert float(info.log_determinant(row[None])) == pytest.approx(expected, abs=1e-5)


def test_of_arrays_it_counts_every_value() -> None:
    info = DataInfo((2, 3), mean=(0.0, 0.0), std=(2.0, 4.0))
    assert info.log_determinant(torch.zeros(5, 2, 3)).tolist() == [-3 * math.log(8)] * 5


def test_a_word_that_is_never_seen_has_the_scale_of_the_others() -> None:
    titles = Titles(None, (False,), None, (("a", "b", "c"),))
    seen = codes.coded(torch.tensor([[0.0], [1.0]]), titles)
    mean, std = statistics(seen, "test", titles.widths)
    part = ArraySet(torch.tensor([[2.0]]), mean, std, titles=titles)
    assert part.reach < 5
    assert part.columns == 1
