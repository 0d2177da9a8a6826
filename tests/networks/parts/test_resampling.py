"""Halving and doubling images."""

import ctypes
from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.networks.parts.resampling import (
    Downsample,
    Pyramid,
    Upsample,
    blur,
    enlarge,
    enlarge_mirrored,
    halve,
    shrink,
    shrink_mirrored,
)

TAPS = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
KERNEL = torch.outer(TAPS, TAPS)


def images(channels: int, height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, channels, height, width, generator=generator, dtype=torch.float64)


def depthwise(channels: int) -> Tensor:
    return KERNEL.expand(channels, 1, 4, 4)


def test_halving_averages_an_odd_edge_alone() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert halve(x).tolist() == [[[[2.0, 3.5], [6.5, 8.0]]]]


def test_blur_of_an_impulse() -> None:
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 16
    assert blur(x)[0, 0, 1:4, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    assert blur(x).sum() == 16


def test_shrinking_is_the_published_filter() -> None:
    """[1, 3, 3, 1] / 8 with a stride of 2, zeros outside (Song 2021, appendix H.1)."""
    x = images(3, 8, 6)
    want = F.conv2d(x, depthwise(3), stride=2, padding=1, groups=3)
    assert torch.allclose(shrink(x, True), want, rtol=0, atol=1e-14)


def test_enlarging_is_the_published_filter() -> None:
    """Zeros between the pixels, then [1, 3, 3, 1] / 4 along each axis."""
    x = images(3, 4, 5)
    want = F.conv_transpose2d(x, 4 * depthwise(3), stride=2, padding=1, groups=3)
    assert torch.allclose(enlarge(x, (8, 10), True), want, rtol=0, atol=1e-14)


def test_filters_keep_a_constant() -> None:
    x = torch.full((1, 1, 12, 12), 3.0)
    assert (shrink(x, True)[..., 1:-1, 1:-1] == 3).all()
    assert (enlarge(x, (24, 24), True)[..., 1:-1, 1:-1] == 3).all()


@pytest.mark.parametrize("fir", [False, True])
@pytest.mark.parametrize("size", [28, 14, 7, 5, 1])
def test_odd_sizes_are_rounded_up(size: int, fir: bool) -> None:
    half = (size + 1) // 2
    x = images(2, size, size)
    small = shrink(x, fir)
    assert small.shape[-2:] == (half, half)
    assert enlarge(small, (size, size), fir).shape == x.shape
    for same in (False, True):
        layer = Downsample(2, 3, fir=fir, same=same).double()
        assert layer(x).shape == (2, 3, half, half)
    assert Upsample(2, fir=fir).double()(small, (size, size)).shape == x.shape


def test_filtered_downsampling_is_a_convolution_before_the_filter() -> None:
    """Filter and convolution are both linear, so that their order does not matter."""
    x = images(3, 8, 6)
    layer = Downsample(3, 5, fir=True).double()
    wide = F.conv2d(x, layer.conv.weight, layer.conv.bias, padding=2)
    want = F.conv2d(wide, depthwise(5), stride=2, groups=5)
    assert torch.allclose(layer(x), want, rtol=0, atol=1e-13)


def test_same_padding_is_behind_the_image() -> None:
    layer = Downsample(3, 5, same=True).double()
    x = images(3, 8, 6)
    want = F.conv2d(F.pad(x, (0, 1, 0, 1)), layer.conv.weight, layer.conv.bias, stride=2)
    assert torch.allclose(layer(x), want, rtol=0, atol=1e-14)
    both = Downsample(3, 5).double()
    both.load_state_dict(layer.state_dict())
    assert not torch.allclose(both(x), want)


@pytest.mark.parametrize("rescale", [False, True])
def test_residual_pyramid_becomes_the_sum(rescale: bool) -> None:
    layer = Pyramid(3, 5, residual=True, fir=True, rescale=rescale).double()
    h, image = images(5, 4, 4), images(3, 8, 8)
    got, passed = layer(h, image)
    want = (h + layer.conv(image)) / (2**0.5 if rescale else 1)
    assert torch.allclose(got, want, rtol=0, atol=1e-14)
    assert passed is got


def test_summed_pyramid_stays_the_image() -> None:
    layer = Pyramid(3, 5, residual=False, fir=True, rescale=True).double()
    h, image = images(5, 4, 4), images(3, 8, 8)
    got, passed = layer(h, image)
    assert torch.equal(passed, shrink(image, True))
    assert torch.allclose(got, h + layer.conv(passed), rtol=0, atol=1e-14)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (3, 1)])
def test_every_weight_has_its_gradient_on_few_pixels(size: tuple[int, int]) -> None:
    """Whatever the memory held in which the gradient is written."""
    torch.manual_seed(0)
    layer, x = Downsample(16, 16), torch.randn(4, 16, *size)
    want = torch.autograd.grad(layer(x).square().sum(), [*layer.parameters()])
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").mallopt(-6, 128)  # M_PERTURB: fresh memory holds NaN
    try:
        with torch.autocast("cpu", torch.bfloat16):
            loss = layer(x).square().sum()
        got = torch.autograd.grad(loss, [*layer.parameters()])
    finally:
        with suppress(OSError, AttributeError):
            ctypes.CDLL("libc.so.6").mallopt(-6, 0)
    for mine, exact in zip(got, want, strict=True):
        assert torch.allclose(mine, exact, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (2, 4), (6, 2)])
def test_mirrors_are_those_of_a_convolution(rows: int, columns: int) -> None:
    """Against strided convolutions with the filter [1, 3, 3, 1] / 8 over a mirrored image."""
    x = torch.randn(2, 1, rows, columns, generator=torch.Generator().manual_seed(0)).double()
    line = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
    kernel = torch.outer(line, line)[None, None]
    seen = F.pad(x, (1, 1, 1, 1), mode="reflect")
    assert torch.allclose(shrink_mirrored(x), F.conv2d(seen, kernel, stride=2), atol=1e-12)
    doubled = F.conv_transpose2d(seen, 4 * kernel, stride=2, padding=3)
    assert torch.allclose(enlarge_mirrored(x, (2 * rows, 2 * columns)), doubled, atol=1e-12)


def test_single_and_odd_pixels_have_mirrors() -> None:
    flat = torch.ones(1, 1, 1, 5)
    assert torch.equal(shrink_mirrored(flat), torch.ones(1, 1, 1, 3))
    assert torch.equal(enlarge_mirrored(flat, (1, 9)), torch.ones(1, 1, 1, 9))
