"""The presets of published models: their networks have the published number of parameters."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from probes import images, lively

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.walk import start, walk
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import build, walk_parts
from ddpm_cli.models.cost import plan
from ddpm_cli.settings import config, presets


class Published(NamedTuple):
    """A preset, perhaps with settings that its comment tells, and what was published of it.

    millions: parameters, right to `rounding`; calls: of the network, for an image.
    """

    preset: str
    size: int
    millions: float
    rounding: float
    calls: int
    changes: dict[str, Any] = {}  # noqa: RUF012  (read, never changed)


# "counted" is the authors' network, counted from its definition; papers rarely state a size.
MODELS = [
    # Ho 2020, appendix B: 35.7 and 114 million.
    Published("cifar10", 32, 35.7, 0.05, 1000),
    Published("lsun256", 256, 114, 0.5, 1000),
    # ermongroup/ddim, configs/celeba.yml, counted.
    Published("celeba64", 64, 78.7, 0.05, 50),
    # improved-diffusion's files are named 50M (52.5 counted), 270M (273 counted) and 100M, which
    # Nichol 2021, section 7 gives as 120M.
    Published("cifar10-iddpm", 32, 52.5, 0.05, 4000),
    Published("imagenet64-iddpm", 64, 270, 5, 250),
    Published("imagenet64-iddpm", 64, 120, 5, 250, {"width": 128, "classes": 0}),
    # Dhariwal 2021, table 11; the last is its LSUN model.
    Published("imagenet64-adm", 64, 296, 0.5, 250),
    Published("imagenet128-adm", 128, 422, 0.5, 250),
    Published("imagenet256-adm", 256, 554, 0.5, 250),
    Published("imagenet256-adm", 256, 552, 1, 250, {"classes": 0, "dropout": 0.1}),
    # score_sde_pytorch, models/ncsnpp.py, counted.
    Published("cifar10-ddpmpp-vp", 32, 61.804, 0.001, 1000),
    Published("cifar10-ddpmpp-subvp", 32, 61.804, 0.001, 1000),
    Published("cifar10-ncsnpp-ve", 32, 62.759, 0.001, 2000),
    Published("cifar10-ncsnpp-ve", 32, 107.587, 0.001, 2000, {"blocks": 8}),
    # edm, SongUNet as train.py sets it up, counted: 1152 of them are told of its augmentation.
    Published("cifar10-edm", 32, 55.733891, 1e-6, 35),
    # torchcfm's examples of CIFAR-10, which print 34.09 MiB of parameters.
    Published("cifar10-flow", 32, 34.09 * 1.048576, 0.01, 99),
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
def test_sampler_makes_the_published_number_of_calls(model: Published) -> None:
    found = read(model)
    assert plan(found, build.schedule(found))[1] == model.calls


@pytest.mark.parametrize("model", [m for m in MODELS if not m.changes], ids=name)
def test_miniature_can_be_trained_and_sampled(model: Published) -> None:
    """All else as published, but a network of a few thousand weights and few levels."""
    small = {"network": {"width": 8, "blocks": 1}, "levels": {"count": 3}}
    found = config.resolve([*presets.layers(model.preset), config.Layer("test", small)])
    torch.manual_seed(0)
    network = lively(build.network(found, DataInfo((3, 8, 8))))
    denoiser = build.denoiser(found, network)
    labels = torch.tensor([3, 7]) if network.classes else None
    condition = {} if labels is None else {"classes": labels}

    t, weight = build.draw(found)(denoiser.schedule, 2, Rng([0]))
    losses = build.loss(found)(denoiser, images(2, 3, 8), t, Rng([1, 2]), **condition)
    assert losses.shape == weight.shape == (2,)
    losses.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())

    denoise = walk_parts.wrapper(found)(denoiser.bind(**condition))
    levels, rng = walk_parts.levels(found, denoiser.schedule), Rng([1, 2])
    x = start(denoise, levels, torch.zeros(2, 3, 8, 8, dtype=torch.float64), rng)
    steps = {"predictor": walk_parts.predictor(found), "corrector": walk_parts.corrector(found)}
    *_, final = walk(denoise, x, levels, rng, **steps)
    assert final.sigma == 0
    assert final.x.isfinite().all()


def test_every_large_preset_is_published() -> None:
    """A preset for data sets that are not handwritten digits stands in the table above."""
    large = {p.stem for _, f in presets.folders() for p in Path(f).glob("*.toml")}
    large = {n for n in large if n.startswith(("cifar", "imagenet", "lsun", "celeba"))}
    assert large == {model.preset for model in MODELS}
