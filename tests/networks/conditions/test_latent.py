"""What a generator draws: numbers that networks see by their direction."""

import torch
from probes import lively

from ddpm_cli.networks import mlp, unet
from ddpm_cli.networks.conditions.latent import latent


def test_no_latent_is_the_middle_of_all() -> None:
    network = lively(mlp((2,), 0, {"latent": latent(size=5)}, width=8))
    x, label = torch.randn(3, 2), torch.ones(3)
    none = network(x, label)
    assert torch.equal(none, network(x, label, latent=torch.zeros(3, 5)))
    assert not torch.allclose(none, network(x, label, latent=torch.randn(3, 5)))


def test_the_length_of_a_latent_says_nothing() -> None:
    """Karras 2019's pixel norm: mean square 1."""
    network = lively(mlp((2,), 0, {"latent": latent(size=5, depth=1)}, width=8))
    x, label, z = torch.randn(3, 2), torch.ones(3), torch.randn(3, 5)
    assert torch.allclose(network(x, label, latent=z), network(x, label, latent=3 * z), atol=1e-5)


def test_it_scales_and_shifts_the_norms_of_a_unet() -> None:
    knobs = {"width": 8, "multipliers": [1, 1], "blocks": 1, "attention": []}
    network = unet((1, 8, 8), 0, {"latent": latent(size=3)}, **knobs, inject="adaptive")
    assert [name for name in network.state_dict() if name.endswith("tell.weight")]
    lively(network)
    x, label = torch.randn(2, 1, 8, 8), torch.ones(2)
    seen = [network(x, label, latent=torch.randn(2, 3)) for _ in range(2)]
    assert not torch.allclose(*seen)
