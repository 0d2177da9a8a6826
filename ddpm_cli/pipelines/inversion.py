"""A model and the straight way between its images and their latents."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.image_set import Conditions, told
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.rng import Randomness, Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.models import cost, walks
from ddpm_cli.models.cost import Cost
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.settings import passes
from ddpm_cli.settings.checks import refuse_no_mean
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.usual import CODING

LOSSY = ("clamp", "threshold")
POOR = 20.0  # decibels: an image that comes back at less is seen to be another one
FAR = 0.1  # the same of rows, in deviations of the data


def plan(config: Config, schedule: Schedule, *, is_steered: bool = False) -> Cost:
    """What the way from noise to image costs; what cannot be walked back is refused."""
    refuse_no_mean(config, "way back from images to latents")
    passes.refuse_drawing(config, "and images given have none")
    passes.refuse_stepwise(config, "so there is no way back")
    for settings in config["wrappers"]:
        if settings["name"] in LOSSY:
            fix = "leave it out, nothing is clamped on this walk"
            raise ConfigError(f"wrappers.{settings['name']}: no image would come back; {fix}")
    if config["edits"] or config.get("corrector"):
        raise ConfigError("edits: between images and latents the way is straight; leave them out")
    planned = cost.plan(config, schedule, rng=latents.Silent(), is_steered=is_steered)
    if planned.moves < 3:
        few = f"levels: no way to noise in {many(planned.moves, 'moves')}; use --steps 3 or more"
        raise ConfigError(few)
    return planned


def warn_of_images(config: Config, decibels: Sequence[float]) -> None:
    """Say so if images come back as others; decibels: PSNR of each."""
    if poor := sum(value < POOR for value in decibels):
        images = f"{poor} of {many(len(decibels), 'images')}" if len(decibels) > 1 else "the image"
        back = f"{'come' if poor > 1 else 'comes'} back at less than {POOR:g} dB"
        console.warn(f"{images} {back}; {closer(config)} does better")


def warn_of_rows(config: Config, apart: Sequence[float]) -> None:
    """Say so if rows come back as others; apart: the largest deviation of each file or walk."""
    if apart and max(apart) > FAR:
        what = f"rows come back up to {max(apart):.2g} deviations away"
        console.warn(f"{what}; {closer(config)} does better")


def closer(config: Config) -> str:
    """Options of a walk on which more comes back: the usual one, and of that more steps."""
    usual, asked = CODING.values, list[str]()
    for table in ("sampler", "levels"):
        if config[table]["name"] != usual[table]["name"]:
            asked.append(f"--{table} {usual[table]['name']}")
    count, least = config["levels"].get("count", 0), usual["levels"]["count"]
    return " ".join([*asked, f"--steps {least if asked or count < least else 2 * count}"])


class Coder(NamedTuple):
    """A model and the deterministic walk between its images and their latents.

    complete: puts guides around the denoiser of walks down, if there are any.
    """

    model: Model
    walk: Walk
    complete: Callable[[Batch], Batch] | None = None

    @classmethod
    def of(cls, drawer: Model) -> "Coder":
        """The walk of the model's settings."""
        return cls(drawer, drawer.prepared())

    def encode(self, x0: Tensor, conditions: Conditions, against: Conditions) -> Tensor | None:
        """Latents float64 of images [B, ...] in [-1, 1], in units of the prior; None if stopped.

        conditions: what the network sees of each image, by kind; against: see Batch.

        Where the sampler chooses its steps by the image, images are walked one by one.
        """
        x0, parts = self.model.placed(x0), []
        for rows in self.model.parts(self.walk, len(x0)):
            denoise = self.walk.wrap(self.model.bound(told(conditions, rows), told(against, rows)))
            states = latents.encode(denoise, x0[rows], self.walk.levels, self.walk.predictor)
            top = walks.last(states)
            if top is None:
                return None
            parts.append(latents.unit(self.model.schedule, top.x, self.walk.levels[0]))
        return torch.cat(parts)

    def decode(self, z: Tensor, conditions: Conditions, against: Conditions) -> Tensor | None:
        """The images [B, ...] of latents; None if stopped."""
        x = latents.state(self.model.schedule, z, self.walk.levels[0])
        return self.descend(x, range(len(z)), conditions, against)

    def descend(
        self,
        x: Tensor,
        seeds: Sequence[int],
        conditions: Conditions,
        against: Conditions,
        top: Tensor | None = None,
    ) -> Tensor | None:
        """Walk states [B, ...] at the highest level, or at `top`, down to images."""
        walk = self.walk if top is None else self.model.prepared(top)
        batch = Batch(seeds, conditions, against, start=x)
        batch = self.complete(batch) if self.complete else batch
        final = walks.last(self.model.draw(batch, walk).states)
        return None if final is None else final.x


def noise(seeds: Sequence[int], randomness: Randomness) -> Rng:
    """The noise that images are given, apart from that of the walk which takes it away again."""
    return randomness.rng(seeds, "noised")
