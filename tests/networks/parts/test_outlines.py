"""Networks without weights: compared with tensors, and not built beyond them."""

import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ddpm_cli.networks import classifier, unet
from ddpm_cli.networks.parts.outlines import Misfit, outline
from ddpm_cli.networks.perceptrons import mlp

SHAPE = (3, 16, 16)
LARGEST = {"width": 16_384, "multipliers": [64] * 10, "blocks": 32, "attention": [16, 8, 4]}


def small() -> nn.Module:
    return unet(SHAPE, width=8, multipliers=[1], blocks=1, attention=[])


@pytest.mark.parametrize(
    "make",
    [
        small,
        lambda: unet(SHAPE, width=8, embedding="fourier", fir=True, progressive_input="sum"),
        lambda: classifier(SHAPE, width=8, head_width=8, classes=3),
        lambda: mlp((2,), width=8, classes=2),
    ],
)
def test_of_its_own_tensors(make: Callable[[], nn.Module]) -> None:
    network = outline(make, make().state_dict())
    assert {tensor.device.type for tensor in network.state_dict().values()} == {"meta"}


@pytest.mark.parametrize(
    ("name", "tensor", "why"),
    [
        ("out.bias", None, "more than"),
        ("out.bias", torch.zeros(4), "out.bias is 4, not 3"),
        ("out.bias", torch.zeros(()), "out.bias is a single number, not 3"),
        ("out.bias", torch.zeros(3, dtype=torch.int64), "out.bias is of type"),
        ("more", torch.zeros(1), "more is no tensor of it"),
    ],
)
def test_of_other_tensors(name: str, tensor: Tensor | None, why: str) -> None:
    tensors = {**small().state_dict(), name: tensor}
    with pytest.raises(Misfit, match=why):
        outline(small, {key: value for key, value in tensors.items() if value is not None})


@pytest.mark.parametrize(
    "make",
    [
        lambda: unet(SHAPE, **LARGEST, classes=100_000),
        lambda: classifier(SHAPE, **LARGEST, classes=100_000),
        lambda: mlp(SHAPE, width=16_384, depth=256, classes=100_000, frequencies=32),
    ],
)
def test_the_largest_costs_nothing(make: Callable[[], nn.Module]) -> None:
    start = time.perf_counter()
    with pytest.raises(Misfit, match="more than the"):
        outline(make, small().state_dict())
    assert time.perf_counter() - start < 1


def test_a_network_is_built_as_ever_afterwards() -> None:
    with pytest.raises(Misfit):
        outline(small, {})
    assert len(small().state_dict()) > 0
