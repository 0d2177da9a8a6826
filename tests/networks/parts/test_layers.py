"""The layers of the networks."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from probes import images, lively
from torch import nn

from ddpm_cli.networks.parts.attention import Attention, attend, by_products
from ddpm_cli.networks.parts.embeddings import Fourier, sinusoid
from ddpm_cli.networks.parts.layers import GroupNorm, PixelNorm, ResBlock, lookup, normalization
from ddpm_cli.networks.parts.resampling import enlarge, shrink


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


def test_endpoint_is_the_last_frequency() -> None:
    """DDPM's ladder ends at 1 / 10000 (Ho 2020), ADM's one step before."""
    label, half = torch.tensor([1.0], dtype=torch.float64), 8
    sines = sinusoid(label, 2 * half, endpoint=True)[0, half:]
    want = [math.sin(10000 ** (-i / (half - 1))) for i in range(half)]
    assert sines.tolist() == pytest.approx(want, abs=1e-12)
    assert sinusoid(label, 2, endpoint=True).isfinite().all(), "a single frequency"


def test_fourier_features_are_of_fixed_normal_frequencies() -> None:
    layer = Fourier(4096, scale=16.0)
    torch.manual_seed(5)
    assert torch.equal(layer.frequencies, Fourier(4096, scale=16.0).frequencies)
    assert float(layer.frequencies.std()) == pytest.approx(16, rel=0.05)
    assert float(layer.frequencies.mean()) == pytest.approx(0, abs=1)
    label = torch.tensor([0.3, -2.0], dtype=torch.float64)
    angles = 2 * math.pi * label[:, None] * layer.frequencies.double()
    want = torch.cat([angles.cos(), angles.sin()], dim=1)
    assert torch.allclose(layer(label), want, rtol=0, atol=1e-10)
    assert list(layer.state_dict()) == ["frequencies"]
    assert not list(layer.parameters()), "not trained"


@pytest.mark.parametrize("resample", ["", "down", "up"])
@pytest.mark.parametrize("project", [False, True])
def test_way_around_a_block(resample: str, project: bool) -> None:
    """BigGAN's blocks carry a 1x1 convolution around each change of size, ADM's do not."""
    block = ResBlock(
        8,
        8,
        6,
        dropout=0.0,
        scale_shift=False,
        norm="group",
        groups=4,
        resample=resample,
        project=project,
        fir=True,
        rescale=True,
    )
    x = images(2, 8, 4)
    around = {"": x, "down": shrink(x, True), "up": enlarge(x, (8, 8), True)}[resample]
    if project and resample:
        around = F.conv2d(around, block.skip.weight, block.skip.bias)
    else:
        assert isinstance(block.skip, nn.Identity)
    got = block(x, torch.zeros(2, 6), (8, 8))
    assert torch.allclose(got, around / 2**0.5, atol=1e-6), "the block itself starts at 0"


def test_rescaled_attention_is_divided_by_root_2() -> None:
    torch.manual_seed(0)
    plain = lively(Attention(8, heads=2, norm="group", groups=4))
    scaled = Attention(8, heads=2, norm="group", groups=4, rescale=True)
    scaled.load_state_dict(plain.state_dict())
    x = images(1, 8, 5)
    assert torch.allclose(scaled(x), plain(x) / 2**0.5, atol=1e-6)


def test_a_lookup_draws_what_torch_draws_and_nothing_on_meta() -> None:
    torch.manual_seed(0)
    rows = nn.Embedding(5, 3)
    after = torch.rand(1)
    torch.manual_seed(0)
    mine = lookup(5, 3)
    assert torch.equal(mine.weight, rows.weight)
    assert mine.weight.requires_grad
    assert torch.equal(torch.rand(1), after)
    code = (
        "import sys, torch\nfrom ddpm_cli.networks.parts.layers import lookup\n"
        "with torch.device('meta'):\n    lookup(5, 3)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("device", "tokens", "learning", "plain"),
    [
        ("cpu", 49, True, True),
        ("cpu", 49, False, False),
        ("cpu", 4096, True, False),
        ("cuda", 49, True, True),
        ("cuda", 49, False, True),
        ("cuda", 256, True, False),
        ("mps", 49, True, False),
    ],
)
def test_short_rows_of_tokens_attend_by_products(
    device: str, tokens: int, learning: bool, plain: bool
) -> None:
    assert by_products(device, tokens, learning) == plain


def test_narrow_heads_of_16_bits_attend_by_products_on_a_cpu() -> None:
    assert by_products("cpu", 196, learning=False, narrow=True)
    assert not by_products("cpu", 4096, learning=False, narrow=True)
    parts = torch.randn(3, 2, 4, 20, 8, generator=torch.Generator().manual_seed(0))
    want = F.scaled_dot_product_attention(*parts)
    with torch.no_grad():
        assert torch.allclose(attend(*parts.bfloat16()).float(), want, atol=0.02)
