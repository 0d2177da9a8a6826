"""The U-Nets of Score SDE and EDM, beyond the contract."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from probes import images, lively
from torch import Tensor
from torch.nn import functional as F

from ddpm_cli.networks import ncsnpp
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.layers import GroupNorm
from ddpm_cli.networks.parts.resampling import Downsample, Pyramid, Upsample

LABEL = torch.tensor([3.0, 900.0])


def make(**knobs: Any) -> ncsnpp:
    torch.manual_seed(0)
    usual: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": []}
    network: ncsnpp = lively(ncsnpp((3, 8, 8), **{**usual, **knobs}))  # type: ignore[assignment]
    return network


@pytest.mark.parametrize("resample", ["block", "conv", "plain"])
@pytest.mark.parametrize("fir", [False, True])
@pytest.mark.parametrize("size", [8, 7, 5])
def test_every_way_of_resampling_keeps_the_size(resample: str, fir: bool, size: int) -> None:
    for kind, output in (("none", "sum"), ("sum", "none"), ("residual", "sum")):
        network = make(
            resample=resample, fir=fir, progressive_input=kind, progressive_output=output
        )
        x = images(2, 3, size)
        assert network(x, LABEL).shape == x.shape
        assert network(x, LABEL).std() > 1e-3


def test_attention_stands_behind_the_last_block_of_a_level() -> None:
    network = make(attention=[4], blocks=2)
    attends = [
        any(isinstance(part, Attention) for part in stage.parts)  # type: ignore[union-attr]
        for stage in (*network.down, *network.up)
    ]
    assert attends == [False, False, False, True, True, *[False, False, True], *[False] * 3]


@pytest.mark.parametrize(("width", "least", "groups"), [(32, 4, 8), (32, 1, 32), (128, 4, 32)])
def test_groups_of_norms_have_four_channels_or_one(width: int, least: int, groups: int) -> None:
    network = make(width=width, group_width=least)
    norm = network.head[0]
    assert isinstance(norm, GroupNorm)
    assert norm.num_groups == groups


def test_data_in_0_to_1_are_seen_in_both_signs() -> None:
    x = images(2, 3, 8)
    network = make(centered=False)
    outside = network((x + 1) / 2, LABEL)
    network.centered = True
    assert torch.allclose(outside, network(x, LABEL), atol=1e-5)


def test_output_is_divided_by_the_level() -> None:
    x = images(2, 3, 8)
    for knobs, level in (
        ({"embedding": "log-fourier"}, LABEL),
        ({"embedding": "sinusoid", "steps": 1000}, 50 * (0.01 / 50) ** (LABEL / 999)),
    ):
        network = make(**knobs, scale_by_sigma=True).double()
        divided = network(x.double(), LABEL.double())
        network.scale_by_sigma = False
        whole = network(x.double(), LABEL.double())
        assert torch.allclose(divided * level.double().reshape(-1, 1, 1, 1), whole, rtol=1e-6)


def test_index_of_a_level_is_the_whole_part_of_its_label() -> None:
    network = make(embedding="sinusoid", scale_by_sigma=True)
    assert torch.equal(network._level(LABEL + 0.7, LABEL), network._level(LABEL, LABEL))


@pytest.mark.parametrize(
    ("kind", "function"),
    [
        ("silu", F.silu),
        ("elu", F.elu),
        ("relu", F.relu),
        ("leaky-relu", lambda x: F.leaky_relu(x, 0.2)),
    ],
)
def test_nonlinearity(kind: str, function: Callable[[Tensor], Tensor]) -> None:
    network, x = make(nonlinearity=kind), images(2, 3, 8)
    assert torch.equal(network.activate(x), function(x))
    assert torch.equal(network.head[1](x), function(x))


def test_integer_labels_are_as_good_as_others() -> None:
    network, x = make(embedding="sinusoid"), images(2, 3, 8)
    assert torch.equal(network(x, LABEL.long()), network(x, LABEL))


def test_classes_stand_beside_the_features_of_the_label() -> None:
    network, x = make(classes=4, features=24, embedded=20), images(2, 3, 8)
    table, embed = network.class_embed, network.embed[0]
    assert table is not None
    assert table.weight.shape == (5, 24)
    assert embed.weight.shape == (20, 24)  # type: ignore[union-attr]
    seen: list[Tensor] = []
    network.embed.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    network(x, LABEL, torch.tensor([1, 3]))
    network(x, LABEL)
    want = 2 * (table.weight[[1, 3]] - table.weight[4])
    assert torch.allclose(seen[0] - seen[1], want, atol=1e-5)


def zero_extended(x: Tensor, weight: Tensor, taps: list[float]) -> tuple[Tensor, Tensor]:
    """A filter between zeros on all sides, and a convolution: by two strides down, and up."""
    line = torch.tensor(taps, dtype=x.dtype)
    plane = torch.outer(line, line) / line.sum() ** 2
    channels = len(weight)
    kernel = plane.expand(channels, 1, *plane.shape)
    half = len(taps) // 2
    down = F.conv2d(x, weight, padding=half)
    down = F.conv2d(down, kernel, groups=channels, stride=2)
    high, wide = x.shape[-2:]
    sparse = x.new_zeros(*x.shape[:2], 2 * high, 2 * wide)
    sparse[..., ::2, ::2] = x
    up = F.conv2d(F.pad(sparse, (8, 8, 8, 8)), weight)  # one pixel less on each side
    up = F.conv2d(up, 4 * kernel, groups=channels)
    start = 7 - half
    return down, up[..., start : start + 2 * high, start : start + 2 * wide]


def test_filters_and_convolutions_know_nothing_of_edges() -> None:
    """Whichever comes first, there are zeros outside the image, and nothing is cut between."""
    x = images(2, 4, 8).double()
    torch.manual_seed(0)
    up = Upsample(4, fir=True, spill=True).double()
    assert torch.allclose(
        up(x, (16, 16)) - up.conv.bias.reshape(-1, 1, 1),  # type: ignore[union-attr]
        zero_extended(x, up.conv.weight, [1, 3, 3, 1])[1],
    )
    for fir, taps in ((True, [1.0, 3, 3, 1]), (False, [1.0, 1])):
        down = Downsample(4, 4, fir=fir, mean=True).double()
        got = down(x) - down.conv.bias.reshape(-1, 1, 1)  # type: ignore[union-attr]
        assert torch.allclose(got, zero_extended(x, down.conv.weight, taps)[0])


def test_input_is_halved_by_strides_or_means() -> None:
    for strided in (True, False):
        network = make(fir=False, strided=strided)
        pyramid = network.pyramid["1"]
        assert isinstance(pyramid, Pyramid)
        assert isinstance(pyramid.conv, Downsample)
        assert pyramid.conv.mean is not strided
