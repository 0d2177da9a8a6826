"""Grids of images and signals."""

import torch

from ddpm_cli.networks.parts.grids import PLANE, Grid, cut, spread


def test_vectors_are_spread_over_the_grid_that_is_cut() -> None:
    vectors = torch.arange(6.0).reshape(2, 3)
    for size in ((5,), (5, 4)):
        whole = spread(vectors, torch.zeros(2, 3, *size)).expand(2, 3, *size)
        assert cut(whole, size[::-1]).shape == (2, 3, *(min(size) for _ in size))
        assert torch.equal(whole.flatten(2)[..., 0], vectors)


def test_ends_of_a_periodic_grid_meet() -> None:
    x = torch.tensor([[[1.0, 2.0, 4.0]]])
    for periodic, want in ((False, [3, 7, 6]), (True, [7, 7, 7])):
        layer = Grid(1, periodic).conv(1, 1, 3, padding=1)
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(torch.as_tensor(layer.bias))
        assert layer(x)[0, 0].tolist() == want
    assert isinstance(PLANE.conv(1, 1, 1), torch.nn.Conv2d)
