"""Arrays normalized for a network, and given back in the units of their data."""

import pytest
import torch
from image_sets import rows

from ddpm_cli.data.array_set import ArraySet, statistics
from ddpm_cli.data.image_set import describe
from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.training.batches import scaled


def test_round_trip_per_column() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(200, 3, generator=generator).double()
    values = values * torch.tensor([1e-6, 1.0, 1e6]) + torch.tensor([0.0, 1e3, -1e8])
    found = ArraySet(values, *statistics(values, "x"))
    seen = found[torch.arange(200)][0]
    assert seen.abs().max() < 5
    assert torch.allclose(rows(found).double(), values, rtol=2e-7, atol=1e-12)


def test_channels_of_wider_arrays() -> None:
    values = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    mean, std = statistics(values, "x")
    assert mean.tolist() == pytest.approx(values.mean((0, 2, 3)).tolist())
    found = ArraySet(values, mean, std)
    assert torch.allclose(rows(found), values, atol=1e-4)
    assert describe(found) == "2 arrays of 3x4x5 values, in memory 0 MB"


@pytest.mark.parametrize("value", [0.1, 1e10, -3.3e-5])
def test_a_constant_column_stays_what_it_is(value: float) -> None:
    values = torch.full((1000, 1), value, dtype=torch.float64)
    mean, std = statistics(values, "x")
    assert std.tolist() == [1.0]
    found = rows(ArraySet(values, mean, std)).double()
    assert torch.allclose(found, values, rtol=1e-6, atol=0)


def test_values_too_far_apart() -> None:
    with pytest.raises(Refusal, match="x: the values of column 1 cannot"):
        statistics(torch.tensor([[1e300], [-1e300]], dtype=torch.float64), "x")


def test_images_and_floats_are_told_apart_by_their_type() -> None:
    assert scaled(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]
    assert scaled(torch.tensor([0.0, 255.0])).tolist() == [0, 255]


def test_images_are_restored_as_they_are() -> None:
    x = torch.rand(2, 1, 3, 3, dtype=torch.float64)
    info = DataInfo((1, 3, 3))
    assert info.is_image
    assert torch.equal(info.restore(x), x.float())
