"""The diffusion transformer."""

from itertools import product
from typing import Any

import pytest
import torch
from probes import images, lively
from torch import Tensor

from ddpm_cli.errors import ConfigError
from ddpm_cli.networks import dit

SMALL: dict[str, Any] = {"width": 16, "depth": 2, "heads": 2}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"overlap": False},
    "overlap": {"overlap": True},
    "modern": {"positions": "rope", "norm": "rms", "activation": "swiglu", "qk_norm": True},
    "bottleneck": {"bottleneck": 3},
}


def make(size: int = 8, channels: int = 1, extra: int = 0, **knobs: Any) -> dit:
    torch.manual_seed(0)
    made = lively(dit((channels, size, size), extra, **SMALL | knobs))
    assert isinstance(made, dit)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_output_has_the_size_of_the_input(kind: str, subtests: pytest.Subtests) -> None:
    for size, patch in product((28, 27, 7), (1, 2, 4, 8)):
        with subtests.test(size=size, patch=patch):
            out = make(size, patch=patch, **KINDS[kind])(images(2, 1, size), torch.ones(2))
            assert out.shape == (2, 1, size, size)
            assert out.isfinite().all()
            # The right and lower edges, which a patch may have to fill up, are computed too.
            assert out[..., -1].std() > 1e-3
            assert out[..., -1, :].std() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_image_need_not_be_square_nor_as_large_as_trained(kind: str) -> None:
    network = make(8, 3, **KINDS[kind])
    assert network(torch.zeros(1, 3, 9, 14), torch.zeros(1)).shape == (1, 3, 9, 14)


@pytest.mark.parametrize("kind", KINDS)
def test_rows_and_columns_are_told_apart(kind: str) -> None:
    """Without positions a transformer would permute with its patches."""
    network, x, label = make(patch=2, **KINDS[kind]), images(1, 1, 8), torch.ones(1)
    out = network(x, label)
    for axis in (2, 3):
        assert (network(x.roll(4, axis), label) - out.roll(4, axis)).abs().max() > 1e-3
    assert (network(x.mT, label) - out.mT).abs().max() > 1e-3


@pytest.mark.parametrize("channels", [1, 3])
def test_learned_variance_doubles_the_channels(channels: int) -> None:
    x = images(2, channels, 8)
    assert make(8, channels, learned_variance=True)(x, torch.zeros(2)).shape[1] == 2 * channels


def test_label_class_and_image_change_the_output() -> None:
    network, x, image = make(classes=10, extra=2), images(1, 1, 8), images(1, 2, 8)

    def run(label: float, digit: int | None, image: Tensor = image) -> Tensor:
        classes = None if digit is None else torch.tensor([digit])
        return network(x, torch.tensor([label]), classes, image)

    assert (run(3, 1) - run(4, 1)).abs().max() > 1e-4
    assert (run(3, 1) - run(3, 2)).abs().max() > 1e-4
    assert (run(3, 1) - run(3, 1, -image)).abs().max() > 1e-4
    assert torch.equal(run(3, None), run(3, 10)), "the row after the classes is the null class"


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"heads": 3}, "network.heads: 3 heads do not divide 16"),
        ({"heads": 0}, "network.heads: 0 heads do not divide 16"),
        ({"width": 18}, "network.width: 18 is no multiple of 4"),
        ({"heads": 8, "positions": "rope"}, "network.heads: heads of 2 channels do not turn"),
    ],
)
def test_width_that_does_not_divide_is_refused(knobs: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(**knobs)


def test_data_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="no images"):
        dit((2,))
