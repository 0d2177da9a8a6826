"""A network that is told how strongly it is guided begins as one that is not."""

import pytest
import torch

from ddpm_cli.networks.conditions import Told
from ddpm_cli.networks.conditions.strength import strength
from ddpm_cli.networks.unets import unet


def test_it_begins_at_nothing_and_tells_scales_apart() -> None:
    told = Told({"strength": strength()}, 16)
    rows = torch.tensor([[1.0], [1.5], [4.0]])
    seen = told({"strength": rows}, rows).vector
    assert seen is not None
    assert float(seen.detach().abs().max()) == 0
    part = told.get_submodule("strength").get_submodule("project")
    torch.nn.init.normal_(part.weight, generator=torch.Generator().manual_seed(0))
    seen, plain = (told(given, rows).vector for given in ({"strength": rows}, {}))
    assert float((seen[0] - seen[1]).detach().abs().max()) > 0.1
    assert torch.equal(seen[0], plain[0]), "told nothing, it is not guided: 1"


def test_a_network_takes_it_beside_its_classes() -> None:
    torch.manual_seed(0)
    network = unet((1, 8, 8), 0, {"strength": strength()}, width=8, classes=3)
    x, label, classes = torch.randn(2, 1, 8, 8), torch.ones(2), torch.tensor([0, 2])
    with torch.no_grad():
        plain = network(x, label, classes=classes)
        told = network(x, label, classes=classes, strength=torch.full((2, 1), 3.0))
    assert torch.equal(plain, told)


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ValueError, match="low 3 is above high 2"):
        strength(low=3, high=2)
