"""The towers of images and texts: unit vectors of both."""

import math
from typing import Any

import pytest
import torch
from probes import images, lively

from ddpm_cli.networks.clips import SHARPEST, TEMPERATURE, clip
from ddpm_cli.networks.conditions.text import text

SMALL: dict[str, Any] = {"width": 8, "multipliers": [1, 2], "embedding": 6}
TEXT = text(form="pooled", length=12, width=8, depth=1, heads=2)


def make(**knobs: Any) -> clip:
    torch.manual_seed(0)
    return clip((1, 8, 8), 0, {"text": TEXT}, **SMALL | knobs)


@pytest.mark.parametrize("knobs", [{}, {"norm": "pixel", "patch": 2, "pool": "mean"}])
def test_both_towers_give_unit_vectors(knobs: dict[str, Any]) -> None:
    network = make(**knobs)
    seen = network(images(3, 1, 8), torch.tensor([3.0, 400.0, 900.0]))
    read = network.read(TEXT.rows(["a", "红心", ""]))
    for vectors in (seen, read):
        assert vectors.shape == (3, 6)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(3))
        assert bool(vectors[0] @ vectors[1] < 0.9999)


def test_every_weight_counts() -> None:
    network = lively(make())
    assert isinstance(network, clip)
    seen = network(images(2, 1, 8), torch.tensor([3.0, 400.0]))
    scores = network.scale * seen @ network.read(TEXT.rows(["a", "bc"])).T
    (scores * torch.tensor([[1.0, 2.0], [3.0, -1.0]])).sum().backward()
    still = [name for name, p in network.named_parameters() if not bool(p.grad.any())]
    assert still == []


def test_the_temperature_begins_as_published_and_is_bounded() -> None:
    network = make()
    assert network.scale.item() == pytest.approx(1 / TEMPERATURE)
    with torch.no_grad():
        network.log_scale.fill_(math.log(1000))
    assert network.scale.item() == pytest.approx(SHARPEST)


def test_without_texts_or_a_vector_of_them_it_is_refused() -> None:
    with pytest.raises(ValueError, match=r"add --set text\.form=pooled"):
        clip((1, 8, 8), **SMALL)
    recipe = text(form="sequence", length=4, width=8, depth=1, heads=2)
    network = clip((1, 8, 8), 0, {"text": recipe}, **SMALL)
    with pytest.raises(ValueError, match=r"--set text\.form=pooled"):
        network.read(recipe.rows(["a"]))
