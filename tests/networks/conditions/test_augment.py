"""How an image was changed, told to the network."""

from typing import Any

import torch
from probes import lively

from ddpm_cli.networks import ncsnpp, unet
from ddpm_cli.networks.conditions.augment import augment

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 1], "blocks": 1, "attention": []}


def test_the_way_of_numbers_leaves_networks_without_them_alone() -> None:
    weights = unet((1, 8, 8), 0, {"augment": augment()}, **SMALL, inject="adaptive").state_dict()
    assert not [name for name in weights if "tell" in name]
    assert "told.augment.project.weight" in weights


def test_a_change_is_told_with_the_features_of_the_noise_level() -> None:
    """Karras 2022's map_augment: 9 numbers, no bias, so that no change is nothing."""
    recipe = {"augment": augment()}
    for network in (unet((1, 8, 8), 0, recipe, **SMALL), ncsnpp((1, 8, 8), 0, recipe, **SMALL)):
        features = network.embed[0].in_features
        assert network.get_parameter("told.augment.project.weight").shape == (features, 9)
        lively(network)
        x, label = torch.randn(2, 1, 8, 8), torch.ones(2)
        assert torch.equal(network(x, label), network(x, label, augment=torch.zeros(2, 9)))
        changed = network(x, label, augment=torch.ones(2, 9))
        assert not torch.allclose(changed, network(x, label))
