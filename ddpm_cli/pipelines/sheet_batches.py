"""What the network is told of the seeds of a run's sheets and measures."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.models import build
from ddpm_cli.models.walks import Batch
from ddpm_cli.pipelines.materials import Materials
from ddpm_cli.pipelines.shown import Shown
from ddpm_cli.training import conditions
from ddpm_cli.training.batches import scaled


def shown(materials: Materials) -> Shown:
    """Which rows are shown, and what they say."""
    return Shown(materials.config, materials.info, materials.sets.test)


def batch(materials: Materials, seeds: Sequence[int]) -> Batch:
    """All that the network is told of these seeds."""
    return Batch(seeds, shown(materials).conditions(seeds) | image(materials, seeds))


def image(materials: Materials, seeds: Sequence[int]) -> dict[str, Tensor]:
    """What a conditional model is given: test images, changed by its task."""
    task = build.task(materials.config, materials.info)
    if task is None:
        return {}
    rows, told = materials.sets.test[shown(materials).rows(seeds)]
    if (given := conditions.seen(told).get(conditions.IMAGE)) is not None:
        return {"image": given}
    rng = Randomness(materials.compute.rng).rng(seeds)
    with torch.autocast(materials.compute.device.type, enabled=False):
        return {"image": task(scaled(rows), rng)}
