"""Operations of networks, against sums by hand."""

import pytest

from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import flops
from ddpm_cli.settings.config import Layer, resolve
from ddpm_cli.settings.presets import layers

DIGITS = DataInfo((1, 28, 28), tuple("0123456789"))


def test_a_perceptron_by_hand() -> None:
    """The label's two layers, one in, two of the depth with what they hear of it, one out."""
    network = {"name": "mlp", "width": 8, "depth": 2}
    config = resolve([Layer("a test", {"network": network, "train": {"batch": 16}})])
    each = flops.forward(config, DataInfo((2,), mean=(0.0, 0.0), std=(1.0, 1.0)))
    assert each > 2 * (2 * 8 + 2 * 8 * 8 + 8 * 2)
    assert flops.training(config, DataInfo((2,), mean=(0.0, 0.0), std=(1.0, 1.0))) == 48 * each


@pytest.mark.parametrize(("width", "billions"), [(32, 0.094), (64, 0.374)])
def test_the_network_for_digits_takes_what_was_counted_before(width: int, billions: float) -> None:
    config = resolve([*layers("mnist"), Layer("a test", {"network": {"width": width}})])
    assert flops.forward(config, DIGITS) == pytest.approx(billions * 1e9, rel=0.01)


@pytest.mark.parametrize("preset", ["mnist-classifier", "mnist-inpaint", "mnist-vdm", "tiny"])
def test_networks_that_see_more_are_counted_too(preset: str) -> None:
    config = resolve(layers(preset))
    assert 1e6 < flops.forward(config, DIGITS) < 1e9


def test_attention_is_counted_alike_everywhere() -> None:
    settings = {"name": "unet", "width": 16, "multipliers": [1, 2], "blocks": 1, "attention": [14]}
    plain = resolve([Layer("a test", {"network": settings | {"attention": []}})])
    attends = resolve([Layer("a test", {"network": settings})])
    assert flops.forward(attends, DIGITS) > flops.forward(plain, DIGITS)
