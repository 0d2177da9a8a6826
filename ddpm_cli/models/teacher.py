"""The teacher of a student: a finished model, the levels of its walk, and how it is guided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Bindable, Denoise
from ddpm_cli.diffusion.guidance import guidance as guided
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, kinds, saved
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.knobs import Few, Halvings, Strength


@dataclass(frozen=True)
class Teacher:
    """A finished model that is not trained, and the levels [2 N + 1] of its walk.

    scale: of its guidance; nulls: what stands for "not told" of what it was not always told;
    digest: of its weights.
    """

    denoiser: Bindable
    levels: Tensor
    scale: float
    nulls: Mapping[str, Tensor]
    digest: str

    def lesson(self, condition: dict[str, Any], rng: Rng) -> tuple[Denoise, dict[str, Any]]:
        """The teacher of a batch, and what its student is told."""
        told = {kind: rows for kind, rows in condition.items() if kind in self.nulls}
        if self.scale == 1 or not told:
            return self.denoiser.bind(**condition), condition
        null = {kind: self.nulls[kind].to(rows).expand_as(rows) for kind, rows in told.items()}
        pair = guided(self.denoiser, condition, condition | null, scale=self.scale)
        return pair, condition


def teacher(
    config: Config,
    compute: Compute,
    *,
    model: str = "",
    stages: Halvings = (8, 4, 2, 1),
    longer: Few = 2,
    guidance: Strength = 1.0,
    digest: str = "",
) -> Teacher:
    """A model that a student learns from, to do in one step what it does in two (Salimans 2022).

    model: what -m takes, as a file, a run or a bundled name. stages: how many steps students
    have, each the teacher of the next; longer: those of two steps and of one train so many times
    the steps. guidance: the scale of the first teacher, which its students have in them. digest:
    of the weights of `model`, as a run keeps it.
    """
    del longer  # of interest to who plans the stages
    count = stages[-1]
    levels, own = _walk(config, 2 * count), _walk(config, count)
    if not torch.equal(levels[::2], own):
        what = f"of {2 * count} levels {config['levels']['name']} every second is none of {count}"
        raise ConfigError(f"teacher.stages: {what}; --set levels.name=trailing")
    place = found(model)
    header, weights = checkpoint.load(place.path, str(compute.device))
    denoiser = saved.restored(header, weights, compute, place.path)
    if digest not in ("", header.hash):
        what = f"{place.name} is another model now than the one that this run began with"
        raise ConfigError(f"teacher.model: {what}; give another -o, or --force to start over")
    nulls, drops = kinds.nulls(header.config, header.data), checks.told(header.config)
    free = {kind: nulls[kind] for kind, drop in drops.items() if drop}
    if guidance != 1 and not free:
        fix = "--set teacher.guidance=1"
        raise ConfigError(f"teacher.guidance: {place.name} was not trained for guidance; {fix}")
    return Teacher(denoiser, levels, guidance, free, header.hash)


def found(model: str) -> find.Place:
    """Where the teacher lies that a configuration names."""
    if not model:
        raise ConfigError("teacher.model: name a finished model; --set teacher.model=mnist")
    return find.find(model)


def _walk(config: Config, count: int) -> Tensor:
    """The levels of a walk of so many steps."""
    settings = config["levels"]
    if "count" not in settings or config["schedule"]["name"] == "learned":
        key = "levels" if "count" not in settings else "schedule"
        what = f"{key}.{config[key]['name']}: its levels cannot be halved"
        raise ConfigError(f"teacher: {what}; --set levels.name=trailing and a fixed schedule")
    own = config | {"levels": settings | {"count": count}, "edits": []}
    return build.levels(own, build.schedule(own))
