"""The teacher of a student: a finished model, the levels of its walk, and how it is guided."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion import guidance
from ddpm_cli.diffusion.denoiser import Bindable, Denoise
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import sent
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import checkpoint, find
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, kinds, saved, walk_parts
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.knobs import Few, Halvings, Strength


@dataclass(frozen=True)
class Teacher:
    """A finished model that is not trained, and the levels [2 N + 1] of its walk.

    scale: of its guidance, from the first to the second; nulls: what stands for "not told" of
    what it was not always told; digest: of its weights; is_told: whether it is told the scale,
    and tells: whether its student is.
    """

    denoiser: Bindable
    levels: Tensor
    scale: tuple[float, float]
    nulls: Conditions
    digest: str
    is_told: bool = False
    tells: bool = False

    def lesson(self, condition: dict[str, Any], rng: Rng) -> tuple[Denoise, dict[str, Any]]:
        """The teacher of a batch, and what its student is told."""
        told = {kind: rows for kind, rows in condition.items() if kind in self.nulls}
        if self.scale == (1.0, 1.0) or not told:
            return self.denoiser.bind(**condition), condition
        null = kinds.untold(self.nulls, told)
        low, high = self.scale
        rows = next(iter(told.values()))
        # On the host and in float64: float32 has no 1.8.
        scale = low + (high - low) * rng.uniform(1).double()
        strength = sent(scale.float(), rows.device)
        student = condition | ({"strength": strength} if self.tells else {})
        if self.is_told:
            return self.denoiser.bind(**condition, strength=strength), student
        pair = guidance.each_guided(self.denoiser, condition, condition | null, scale[:, 0])
        return pair, student


def teacher(
    config: Config,
    compute: Compute,
    *,
    model: str = "",
    stages: Halvings = (8, 4, 2, 1),
    longer: Few = 2,
    scale: Strength = 1.0,
    digest: str = "",
) -> Teacher:
    """A model that a student learns from, to do in one step what it does in two (Salimans 2022).

    model: what -m takes, as a file, a run or a bundled name. stages: how many steps students
    have, each the teacher of the next; longer: of several stages those of two steps and of one
    train so many times the steps. scale: of the guidance of the first teacher, which its students
    have in them. digest: of the weights of `model`, as a run keeps it.
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
    scales, told = _scales(config, scale), "strength" in header.config
    if scales != (1.0, 1.0) and not free:
        key = "strength" if "strength" in config else "teacher.scale"
        raise ConfigError(f"{key}: {place.name} was not trained to be guided; leave it out")
    return Teacher(denoiser, levels, scales, free, header.hash, told, "strength" in config)


def _scales(config: Config, scale: float) -> tuple[float, float]:
    """Between which two scales a teacher is guided."""
    if "strength" not in config:
        return scale, scale
    if scale != 1:
        raise ConfigError("teacher.scale: the table strength says between which; leave it out")
    return config["strength"]["low"], config["strength"]["high"]


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
    return walk_parts.levels(own, build.schedule(own))
