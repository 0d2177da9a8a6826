"""The U-Net and its layers."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.layers import (
    Attention,
    GroupNorm,
    PixelNorm,
    ResBlock,
    attend,
    halve,
    normalization,
    sinusoid,
)
from ddpm_cli.networks.unet import unet

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": []}
CIFAR = {
    "width": 128,
    "multipliers": [1, 2, 2, 2],
    "blocks": 2,
    "attention": [16],
    "dropout": 0.1,
}
IMAGENET = {
    "width": 192,
    "multipliers": [1, 2, 3, 4],
    "blocks": 3,
    "attention": [32, 16, 8],
    "head_width": 64,
    "scale_shift": True,
    "resample_blocks": True,
    "learned_variance": True,
    "classes": 1000,
}


def lively(module: nn.Module) -> nn.Module:
    """Fill the layers that start at 0, without which most of a network has no effect."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return module.eval()


def make(size: int = 8, channels: int = 1, **knobs: Any) -> unet:
    torch.manual_seed(0)
    made = lively(unet(channels, (size, size), **SMALL | knobs))
    assert isinstance(made, unet)
    return made


def images(count: int, channels: int, size: int) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.parametrize(
    ("size", "patch", "multipliers"),
    [
        (size, patch, multipliers)
        for size in (28, 27, 7)
        for patch in (1, 2, 4)
        for multipliers in ([1], [1, 2], [1, 1, 2])
    ],
)
@pytest.mark.parametrize("resample", [False, True])
def test_output_has_the_size_of_the_input(
    size: int, patch: int, multipliers: list[int], resample: bool
) -> None:
    network = make(size, patch=patch, multipliers=multipliers, resample_blocks=resample)
    out = network(images(2, 1, size), torch.tensor([3.0, 900.0]))
    assert out.shape == (2, 1, size, size)
    assert out.isfinite().all()
    assert out.std() > 1e-3
    # The right and lower edges, which a patch may have to fill up, are computed too.
    assert out[..., -1].std() > 1e-3
    assert out[..., -1, :].std() > 1e-3


def test_image_need_not_be_square() -> None:
    network = unet(3, (9, 14), **SMALL, patch=2)
    assert network(torch.zeros(1, 3, 9, 14), torch.zeros(1)).shape == (1, 3, 9, 14)


@pytest.mark.parametrize("channels", [1, 3])
def test_learned_variance_doubles_the_channels(channels: int) -> None:
    network = make(8, channels, learned_variance=True)
    x = images(2, channels, 8)
    assert network(x, torch.zeros(2)).shape == (2, 2 * channels, 8, 8)
    assert make(8, channels)(x, torch.zeros(2)).shape == x.shape


@pytest.mark.parametrize("norm", ["group", "pixel"])
@pytest.mark.parametrize("scale_shift", [False, True])
def test_image_does_not_depend_on_its_batch(norm: str, scale_shift: bool) -> None:
    network = make(8, norm=norm, scale_shift=scale_shift, attention=[8], classes=3)
    x, label, classes = images(3, 1, 8), torch.tensor([1.0, 50.0, 900.0]), torch.tensor([0, 1, 2])
    batch = network(x, label, classes)
    for row in range(3):
        one = slice(row, row + 1)
        alone = network(x[one], label[one], classes[one])
        assert torch.allclose(alone[0], batch[row], atol=1e-5)


@pytest.mark.parametrize("scale_shift", [False, True])
def test_label_and_class_change_the_output(scale_shift: bool) -> None:
    network, x = make(8, classes=10, scale_shift=scale_shift), images(1, 1, 8)

    def run(label: float, digit: int | None) -> Tensor:
        return network(x, torch.tensor([label]), None if digit is None else torch.tensor([digit]))

    assert (run(3, 1) - run(4, 1)).abs().max() > 1e-4
    assert (run(3, 1) - run(3, 2)).abs().max() > 1e-4
    assert torch.equal(run(3, None), run(3, 10)), "the row after the classes is the null class"
    assert (run(3, None) - run(3, 9)).abs().max() > 1e-4


def test_fresh_network_predicts_0() -> None:
    network = unet(1, (8, 8), **SMALL)
    assert not network(images(1, 1, 8), torch.zeros(1)).any()


def attentions(network: nn.Module) -> int:
    return sum(isinstance(module, Attention) for module in network.modules())


@pytest.mark.parametrize(
    ("knobs", "count"),
    [
        ({"attention": []}, 1),  # the middle always attends
        ({"attention": [28]}, 1 + 2 + 3),
        ({"attention": [14]}, 1 + 2 + 3),
        ({"attention": [28, 14]}, 1 + 5 + 5),
        ({"attention": [14], "patch": 2}, 1 + 2 + 3),
        ({"attention": [28], "patch": 2}, 1),
        ({"attention": [7, 4]}, 1),
    ],
)
def test_attention_stands_at_its_resolutions(knobs: dict[str, Any], count: int) -> None:
    network = unet(1, (28, 28), **SMALL | {"blocks": 2} | knobs)
    assert attentions(network) == count


def test_attention_counts_odd_resolutions_rounded_up() -> None:
    assert attentions(unet(1, (27, 27), **SMALL | {"attention": [14]})) == 1 + 1 + 2
    network = make(27, attention=[14])
    attention = network.down[2].parts[1]
    seen: list[tuple[int, ...]] = []
    attention.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape[-2:]))
    network(images(1, 1, 27), torch.zeros(1))
    assert seen == [(14, 14)]


def test_heads_have_their_width() -> None:
    network = unet(1, (8, 8), **SMALL | {"width": 64, "attention": [8], "head_width": 32})
    heads = [m.heads for m in network.modules() if isinstance(m, Attention)]
    assert heads == [2, 4, 2, 2], "64 wide, 128 wide in the middle, 64 wide twice"


@pytest.mark.parametrize(("size", "knobs", "millions"), [(32, CIFAR, 35.7), (64, IMAGENET, 296.0)])
def test_published_networks_have_their_size(
    size: int, knobs: dict[str, Any], millions: float
) -> None:
    """DDPM on CIFAR-10 (Ho 2020, appendix B) and ADM on ImageNet 64 (Dhariwal 2021, table 11)."""
    with torch.device("meta"):
        network = unet(3, (size, size), **knobs)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_group_norm_is_torchs(last: bool, dtype: torch.dtype) -> None:
    x = images(2, 12, 5).to(dtype)
    x = x.to(memory_format=torch.channels_last) if last else x
    made, reference = GroupNorm(4, 12).to(dtype), nn.GroupNorm(4, 12).to(dtype)
    for module in (made, reference):
        module.weight.data = torch.linspace(-1, 2, 12, dtype=dtype)
        module.bias.data = torch.linspace(1, 3, 12, dtype=dtype)
    got = made(x)
    assert torch.allclose(got, reference(x.contiguous()), atol=1e-6)
    assert got.is_contiguous(memory_format=torch.channels_last) == last


def test_pixel_norm_normalizes_each_pixel() -> None:
    x = images(2, 12, 5).to(memory_format=torch.channels_last)
    norm = PixelNorm(12, eps=1e-5)
    norm.weight.data = torch.linspace(-1, 2, 12)
    norm.bias.data = torch.linspace(1, 3, 12)
    centred = x - x.mean(1, keepdim=True)
    unit = centred / (centred.square().mean(1, keepdim=True) + 1e-5).sqrt()
    want = unit * norm.weight[:, None, None] + norm.bias[:, None, None]
    got = norm(x)
    assert torch.allclose(got, want, atol=1e-5)
    assert got.is_contiguous(memory_format=torch.channels_last)


def test_groups_shrink_to_a_divisor_of_the_channels() -> None:
    assert normalization("group", 48, 32).num_groups == 16
    assert normalization("group", 7, 32).num_groups == 1
    assert normalization("group", 64, 32).num_groups == 32
    assert normalization("group", 32, 32).num_groups == 32, "as in published checkpoints"


@pytest.mark.parametrize("channels", [4, 8, 16, 24])
def test_narrow_groups_do_not_hide_the_noise_level(channels: int) -> None:
    norm = normalization("group", channels, 32)
    assert norm.num_channels // norm.num_groups >= 4


@pytest.mark.parametrize("heads", [1, 4])
def test_plain_attention_is_the_fused_one(heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 2, heads, 20, 6, generator=generator, dtype=torch.float64)
    grads = []
    for function in (attend, F.scaled_dot_product_attention):
        inputs = [part.clone().requires_grad_() for part in parts]
        out = function(*inputs)
        out.square().sum().backward()
        grads.append([out, *(part.grad for part in inputs)])
    for got, want in zip(*grads, strict=True):
        assert torch.allclose(got, want, rtol=0, atol=1e-12)
    with torch.no_grad():
        assert torch.allclose(attend(*parts), grads[0][0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale_shift", [False, True])
def test_embedding_enters_a_block_as_published(scale_shift: bool) -> None:
    torch.manual_seed(0)
    block = lively(
        ResBlock(8, 16, 6, dropout=0.5, scale_shift=scale_shift, norm="group", groups=4)
    )
    x, embedding = images(2, 8, 4), torch.randn(2, 6)
    h = block.conv1(F.silu(block.norm1(x)))
    shift = block.embed(embedding)[:, :, None, None]
    if scale_shift:
        h = block.norm2(h) * (1 + shift[:, :16]) + shift[:, 16:]
    else:
        h = block.norm2(h + shift)
    want = block.skip(x) + block.conv2(F.silu(h))
    assert torch.allclose(block(x, embedding), want, atol=1e-6)


def test_attention_moves_information_between_all_pixels() -> None:
    torch.manual_seed(0)
    layer = lively(Attention(8, heads=2, norm="pixel", groups=4))
    x = images(1, 8, 5).requires_grad_()
    layer(x)[0, :, 0, 0].sum().backward()
    assert (x.grad[0].abs().sum(0) > 0).all()


def test_output_is_channels_last() -> None:
    network = make(8, 3, attention=[4]).to(memory_format=torch.channels_last)
    out = network(images(2, 3, 8), torch.zeros(2))
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("width", [8, 7])
def test_sinusoid(width: int) -> None:
    """Cosines, then sines, of label / 10000^(i / half); an odd width ends in 0."""
    got = sinusoid(torch.tensor([0.0, 3.5, 999.0], dtype=torch.float64), width)
    assert got.shape == (3, width)
    half = width // 2
    for row, label in enumerate((0.0, 3.5, 999.0)):
        angles = [label / 10000 ** (i / half) for i in range(half)]
        want = [*map(math.cos, angles), *map(math.sin, angles), *([0.0] * (width % 2))]
        assert got[row].tolist() == pytest.approx(want, abs=1e-12)


def test_halving_averages_an_odd_edge_alone() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert halve(x).tolist() == [[[[2.0, 3.5], [6.5, 8.0]]]]


def test_weights_may_be_narrower_than_the_input() -> None:
    """The walk's state is float64, the weights are not; the label stays float32."""
    network = make(8)
    x, label = images(1, 1, 8), torch.tensor([999.0])
    assert torch.allclose(network(x.double(), label), network(x, label), atol=1e-6)
    assert network.bfloat16()(x, label).dtype == torch.bfloat16
