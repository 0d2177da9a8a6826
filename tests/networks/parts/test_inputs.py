"""Fourier features of a network's own input."""

import math
from copy import deepcopy

import pytest
import torch
from probes import images, lively

from ddpm_cli.networks.parts.inputs import fourier, waves
from ddpm_cli.networks.unets import unet

SMALL = {"width": 8, "multipliers": [1], "blocks": 1}


def test_waves_are_those_of_the_paper_channel_by_channel() -> None:
    z = torch.tensor([[0.3, -0.2]], dtype=torch.float64)
    angles = torch.tensor([0.3, -0.2, 0.6, -0.4], dtype=torch.float64) * 4 * math.pi
    expected = torch.cat([angles.sin(), angles.cos()])
    assert torch.allclose(waves(z, [2, 3])[0], expected, atol=1e-15)


def test_bytes_differ_most_from_their_neighbours_at_7() -> None:
    levels = torch.arange(256, dtype=torch.float64)[:, None] * (2 / 255) - 1
    turn = waves(levels, [7])
    assert ((turn[1:] * turn[:-1]).sum(1) < -0.999).all()


def test_network_sees_them_in_front_of_an_image_and_keeps_its_names() -> None:
    features, x, label = fourier(exponents=[1, 3]), images(2, 2, 8), torch.ones(2)
    plain = lively(unet((2, 8, 8), features.channels(2) + 1, **SMALL))
    shown = features.beside(deepcopy(plain))
    image = images(2, 1, 8)
    seen = torch.cat([waves(x, [1, 3]), image], dim=1)
    assert torch.equal(shown(x, label, image=image), plain(x, label, image=seen))
    assert list(shown.state_dict()) == list(plain.state_dict())


def test_copy_of_a_network_computes_with_its_own_weights() -> None:
    features, x, label = fourier(exponents=[2]), images(1, 1, 8), torch.ones(1)
    network = features.beside(lively(unet((1, 8, 8), features.channels(1), **SMALL)))
    before, copy = network(x, label), deepcopy(network)
    for parameter in network.parameters():
        parameter.data.zero_()
    assert torch.equal(copy(x, label), before)


def test_weights_of_16_bits_see_fine_waves() -> None:
    """A byte is less than a step of bfloat16 near 1: waves of rounded values would be others."""
    features = fourier(exponents=[8])
    network = features.beside(lively(unet((1, 8, 8), features.channels(1), **SMALL)))
    x = torch.full((2, 1, 8, 8), 1 - 2 / 255)
    x[1] += 1 / 512  # half a wave on
    with torch.no_grad():
        one, other = network.bfloat16()(x, torch.ones(2))
    assert (one - other).abs().max() > 0.1 * one.abs().max()


def test_a_wave_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="exponents name a wave twice"):
        fourier(exponents=[6, 6])
