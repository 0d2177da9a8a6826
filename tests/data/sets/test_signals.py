"""Toy signals."""

import pytest
import torch

from ddpm_cli.data import rooms as geometry
from ddpm_cli.data.sets.signals import rooms, seasonal
from ddpm_cli.errors import ConfigError


def test_both_are_normalized_and_made_of_their_seed() -> None:
    for make, shape in ((seasonal, (1, 96)), (rooms, (2, 32))):
        train, again, other = make("train", count=500), make("train", count=500), make("test")
        every = torch.arange(500)
        assert train.shape == shape
        assert (len(train), len(make("test", count=500))) == (500, 100)
        assert torch.equal(train[every][0], again[every][0])
        assert not torch.equal(train[every][0], other[every][0])
        values = train[every][0].transpose(0, 1).flatten(1)
        assert values.mean(1).tolist() == pytest.approx([0] * shape[0], abs=1e-5)
        assert values.std(1).tolist() == pytest.approx([1] * shape[0], abs=1e-3)


def test_no_path_goes_through_the_wall() -> None:
    data = rooms("train", count=1000, noise=0.0)
    assert data.mean is not None
    assert data.std is not None
    mean, std = torch.tensor(data.mean)[:, None], torch.tensor(data.std)[:, None]
    routes, told = data[torch.arange(1000)]
    routes = routes * std + mean
    assert not geometry.hits(routes).any()
    assert torch.equal((geometry.chosen(routes) > 0).long(), told["classes"])


def test_too_many_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"data\.count: .* is too large; at most"):
        seasonal("train", count=10**8)
