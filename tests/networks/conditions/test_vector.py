"""Vectors that networks are told of images."""

import torch
from probes import images, lively

from ddpm_cli.networks import mlp, unet
from ddpm_cli.networks.conditions.vector import vector


def test_a_vector_is_seen_and_none_is_what_is_left_out() -> None:
    recipe = vector(size=3, drop=0.2)
    assert recipe.drop == 0.2
    torch.manual_seed(0)
    for shape, make in (((1, 8, 8), unet), ((5,), mlp)):
        network = lively(make(shape, 0, {"vector": recipe}, width=8))
        x, label = images(2, 1, 8) if make is unet else images(2, 1, 5)[:, 0, 0], torch.ones(2)
        given = network(x, label, vector=torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]))
        without = network(x, label)
        assert torch.equal(network(x, label, vector=recipe.null.expand(2, 3)), without)
        assert ((given - without).flatten(1).abs().amax(1) > 1e-4).all(), "zeros are a vector"


def test_gradients_are_numbers_where_no_vector_is_told() -> None:
    network = mlp((5,), 0, {"vector": vector(size=3)}, width=8)
    network = lively(network)
    network(torch.ones(1, 5), torch.ones(1), vector=torch.full((1, 3), torch.nan)).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())
