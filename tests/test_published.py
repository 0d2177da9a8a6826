"""The presets of published models: their networks have the published number of parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from ddpm_cli import build, config, presets
from ddpm_cli.files.checkpoint import DataInfo


class Published(NamedTuple):
    """A preset, perhaps with settings that its comment tells, and what was published of it.

    millions: parameters, right to `rounding`; levels: steps of its sampler.
    """

    preset: str
    size: int
    millions: float
    rounding: float
    levels: int
    changes: dict[str, Any] = {}  # noqa: RUF012  (read, never changed)


# "counted" is the authors' network, counted from its definition; papers rarely state a size.
MODELS = [
    # Ho 2020, appendix B: 35.7 and 114 million.
    Published("cifar10", 32, 35.7, 0.05, 1000),
    Published("lsun256", 256, 114, 0.5, 1000),
    # ermongroup/ddim, configs/celeba.yml, counted.
    Published("celeba64", 64, 78.7, 0.05, 50),
]


def read(model: Published) -> config.Config:
    changes = config.Layer("test", {"network": model.changes})
    return config.resolve([*presets.layers(model.preset), changes])


def name(model: Published) -> str:
    return "-".join([model.preset, *(f"{k}={v}" for k, v in model.changes.items())])


@pytest.mark.parametrize("model", MODELS, ids=name)
def test_network_has_the_published_size(model: Published) -> None:
    shape = (3, model.size, model.size)
    with torch.device("meta"):
        network = build.network(read(model), DataInfo(shape))
        classes = torch.zeros(2, dtype=torch.long) if network.classes else None
        out = network(torch.zeros(2, *shape), torch.zeros(2), classes)
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert abs(count - model.millions) <= model.rounding
    assert model.rounding <= 0.05 * model.millions, "else this proves nothing"
    channels = 6 if read(model)["network"]["learned_variance"] else 3
    assert out.shape == (2, channels, *shape[1:])


@pytest.mark.parametrize("model", [m for m in MODELS if not m.changes], ids=name)
def test_all_else_can_be_built(model: Published) -> None:
    found = read(model)
    schedule = build.schedule(found)
    levels = build.levels(found | {"edits": []}, schedule)
    assert len(levels) == model.levels + 1
    assert (levels.diff() < 0).all()
    for made in (build.predictor(found), build.loss(found), build.draw(found)):
        assert callable(made)


def test_every_large_preset_is_published() -> None:
    """A preset for data sets that are not handwritten digits stands in the table above."""
    large = {p.stem for _, f in presets.folders() for p in Path(f).glob("*.toml")}
    large = {n for n in large if n.startswith(("cifar", "imagenet", "lsun", "celeba"))}
    assert large == {model.preset for model in MODELS}
