"""The U-Net of adaptive norms."""

from typing import Any

import pytest
import torch
from probes import images, lively

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks import adagn_unet

SMALL: dict[str, Any] = {"widths": [8, 16], "depths": [1], "attention": [], "mapping_width": 8}


def make(size: int = 8, channels: int = 1, extra: int = 0, **knobs: Any) -> adagn_unet:
    torch.manual_seed(0)
    made = lively(adagn_unet((channels, size, size), extra, **SMALL | knobs))
    assert isinstance(made, adagn_unet)
    return made


@pytest.mark.parametrize(("size", "patch"), [(28, 1), (7, 1), (27, 2), (4, 4)])
def test_output_has_the_size_of_the_input(size: int, patch: int) -> None:
    network = make(size, patch=patch, widths=[8, 8, 16])
    out = network(images(2, 1, size), torch.ones(2))
    assert out.shape == (2, 1, size, size)
    assert out.isfinite().all()
    assert out[..., -1].std() > 1e-3
    assert out[..., -1, :].std() > 1e-3


def test_image_need_not_be_square_nor_as_large_as_trained() -> None:
    assert make(8, 3)(torch.zeros(1, 3, 9, 14), torch.zeros(1)).shape == (1, 3, 9, 14)


def test_attention_is_where_it_is_asked_for() -> None:
    network = make(16, attention=[8], depths=[2], head_width=4)
    assert [len(stage.parts) for stage in (*network.down, *network.up)] == [2, 4, 4, 2]
    assert network.down[1].parts[1].heads == 4


def test_conditions_are_seen() -> None:
    network, x = make(extra=2, classes=3), images(2, 1, 8)
    seen = torch.zeros(2, 2, 8, 8)
    out = network(x, torch.ones(2), None, seen)
    assert (network(x, torch.ones(2), None, seen + 1) - out).abs().max() > 1e-3
    assert (network(x, torch.tensor([1, 2]), None, seen)[1] - out[1]).abs().max() > 1e-3


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"network\.group_width"):
        make(widths=[9], group_width=2)
    with pytest.raises(ValueError, match="no images"):
        adagn_unet((3,))
