"""The U-Net of signals."""

from itertools import product
from typing import Any

import pytest
import torch
from probes import lively
from torch import Tensor, nn

from ddpm_cli.networks import unet, unet1d
from ddpm_cli.networks.parts.attention import Attention
from ddpm_cli.networks.parts.stages import fold, unfold

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "blocks": 1}
FAMILIES: dict[str, dict[str, Any]] = {
    "plain": {"attention": [13], "classes": 3},
    "adm": {"resample_blocks": True, "scale_shift": True, "head_width": 4, "norm": "pixel"},
    "ncsn++": {"embedding": "fourier", "rescale": True, "decoder_attention": "last"},
    "unconvolved": {"plain_resampling": True, "embedding": "endpoint", "nonlinearity": "gelu"},
}


def make(length: int, channels: int = 1, **knobs: Any) -> nn.Module:
    torch.manual_seed(0)
    return lively(unet1d((channels, length), **SMALL | knobs))


def signals(count: int, channels: int, length: int) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(count, channels, length, generator=generator)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [1, 13, 26])
def test_it_is_the_network_of_images_one_pixel_wide(family: str, length: int) -> None:
    """Of filters the middle column alone meets pixels."""
    knobs = SMALL | {"attention": []} | FAMILIES[family]
    mine, plane = make(length, 2, **knobs).double(), unet((2, length, 1), **knobs).double()
    wide = plane.state_dict()
    for name, value in mine.state_dict().items():
        if wide[name].ndim == 4:
            wide[name] = value[..., None].expand_as(wide[name])
        else:
            wide[name] = value
    plane.load_state_dict(wide)
    x, label = signals(3, 2, length).double(), torch.tensor([1.0, 50.0, 900.0])
    want = plane.eval()(x[..., None], label)[..., 0]
    assert torch.allclose(mine(x, label), want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("fir", [False, True])
def test_output_is_as_long_as_the_input(fir: bool, subtests: pytest.Subtests) -> None:
    for length, patch, levels in product((1, 2, 7, 100), (1, 3, 4), ([1], [1, 1, 2])):
        with subtests.test(length=length, patch=patch, levels=levels):
            network = make(length, 2, patch=patch, multipliers=levels, fir=fir)
            out = network(signals(2, 2, length), torch.tensor([3.0, 900.0]))
            assert out.shape == (2, 2, length)
            assert out.isfinite().all()
            assert out[..., -1].abs().max() > 1e-3


def test_values_become_channels_and_come_back() -> None:
    x = torch.arange(10.0).reshape(1, 1, 10)
    assert fold(x, 4).tolist() == [[[0, 4, 8], [1, 5, 9], [2, 6, 9], [3, 7, 9]]]
    y = signals(2, 3, 12)
    assert torch.equal(unfold(fold(y, 3), 3), y)


@pytest.mark.parametrize("resample_blocks", [False, True])
def test_ends_of_a_periodic_signal_meet(resample_blocks: bool) -> None:
    knobs = {"patch": 2, "resample_blocks": resample_blocks, "attention": [8]}
    x, label = signals(2, 1, 32), torch.tensor([3.0, 900.0])
    for periodic in (False, True):
        network = make(32, **knobs, periodic=periodic).double()
        rolled = network(x.double().roll(4, 2), label)
        error = (rolled - network(x.double(), label).roll(4, 2)).abs().max()
        assert error < 1e-12 if periodic else error > 1e-3


def test_attention_stands_at_its_lengths() -> None:
    for lengths, count in (([], 1), ([25], 1 + 2 + 3), ([50, 25], 1 + 5 + 5), ([100], 1)):
        network = unet1d((1, 100), width=8, multipliers=[1, 2], patch=2, attention=lengths)
        assert sum(isinstance(m, Attention) for m in network.modules()) == count


def test_conditioning_signal_is_seen() -> None:
    torch.manual_seed(0)
    network = lively(unet1d((1, 12), 2, **SMALL))
    x, label, first, second = signals(1, 1, 12), torch.ones(1), *signals(2, 2, 12).split(1)
    assert (network(x, label, image=first) - network(x, label, image=second)).abs().max() > 1e-3


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("periodic", [False, True])
def test_gradients_of_short_signals_in_bfloat16(length: int, periodic: bool) -> None:
    def gradients(*, narrow: bool) -> list[Tensor]:
        network = make(length, norm="pixel", periodic=periodic)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            network(signals(8, 1, length), torch.arange(8.0)).square().mean().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    for near, exact in zip(gradients(narrow=True), gradients(narrow=False), strict=True):
        assert (near - exact).abs().max() <= 0.1 * exact.abs().max() + 1e-3


@pytest.mark.parametrize(("make", "fitting"), [(unet, "unet1d"), (unet1d, "unet")])
def test_data_of_other_axes_are_refused(make: Any, fitting: str) -> None:
    shape = (1, 8) if make is unet else (1, 8, 8)
    with pytest.raises(ValueError, match=f"network.name={fitting}$"):
        make(shape)
    with pytest.raises(ValueError, match=r"network.name=mlp"):
        make((8,))


def test_a_filter_of_periodic_signals_is_refused() -> None:
    with pytest.raises(ValueError, match=r"network\.fir=false"):
        unet1d((1, 8), periodic=True, fir=True)
