"""The guide that compares images with texts and other images."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.cutouts import Spread, similarity
from ddpm_cli.diffusion.guidance import Judge
from ddpm_cli.diffusion.rng import PHILOX, Randomness, Rng
from ddpm_cli.diffusion.steps import ladder
from ddpm_cli.errors import ConfigError
from ddpm_cli.guides.parts import clip_judge, clip_runs
from ddpm_cli.guides.parts.clip_judge import Objective, Targets
from ddpm_cli.guides.parts.clip_runs import Run
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.models import walks
from ddpm_cli.settings.knobs import Fews, Overviews, Strength

CUTOUTS = (8,)
OVERVIEWS = (0,)


@dataclass(frozen=True)
class Comparing:
    """Pulls predicted clean images towards those that CLIP finds nearer to what is wanted.

    cutouts, overviews: of how many crops each part of the walk is judged.
    """

    objective: Objective
    scale: float
    cutouts: Spread
    overviews: Spread
    randomness: Randomness = PHILOX
    of: Literal["clean"] = "clean"
    at_mean: bool = False

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of the images of these seeds, each of which has cutouts of its own."""
        return partial(self.score, rng=self.randomness.rng(seeds, "cutouts"))

    def score(self, x0: Tensor, sigma: Tensor, rng: Rng) -> Tensor:
        """Scale times how near images x0 [B, C, H, W] are to what is wanted, [B]."""
        return self.scale * self.objective(
            x0, rng, self.cutouts.at(sigma), self.overviews.at(sigma)
        )


@dataclass(frozen=True)
class Noisy:
    """Pulls noisy images towards those that a CLIP of noisy images finds nearer."""

    run: Run
    wanted: Targets
    scale: float
    of: Literal["noisy"] = "noisy"
    at_mean: bool = False

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of any images."""
        return self.score

    def score(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Scale times how near x = x0 + sigma eps [B, C, H, W] is to what is wanted, [B]."""
        vectors = self.run.encode(x, sigma)[:, None]
        return self.scale * similarity(vectors, *self.wanted).to(x)


def clip(
    context: Context,
    *,
    model: str = "",
    prompts: list[str] = [],  # noqa: B006  (read, never changed)
    images: list[str] = [],  # noqa: B006
    cutouts: Fews = CUTOUTS,
    overviews: Overviews = OVERVIEWS,
    scale: Strength = 100.0,
) -> Guide:
    """CLIP pulls towards texts and images: scale times minus half the squared angle to theirs.

    model: a run that ddpm trained, a folder that open_clip saved, or ARCHITECTURE/WEIGHTS.
    prompts, images: texts and files, each with a weight behind a colon if it is not 1.  cutouts:
    random squares of the predicted image that CLIP sees, as in Crowson's CLIP-guided diffusion
    (2021); one of noisy images sees x_t itself, whole (Nichol 2022).  overviews: how many of them
    are the whole image; see `overviewed`.  Of several numbers each is for its part of the walk.
    """
    if not prompts and not images:
        raise ConfigError("guides.clip: nothing is wanted; give --clip TEXT or --clip-image FILE")
    context.refuse_arrays("clip")
    device, randomness = context.compute.device, Randomness(context.compute.rng)
    own, seen = clip_runs.named(model), _parts(context, cutouts, overviews)
    if own is None:
        network = clip_judge.load(model, download=context.download, device=device)
        return Comparing(network.objective(prompts, images), scale, *seen, randomness)
    run = clip_runs.load(own[0], context.info, context.compute)
    if run.is_noisy:
        return Noisy(run, clip_judge.targets(run, prompts, images), scale)
    return Comparing(clip_judge.objective(run, prompts, images), scale, *seen, randomness)


def _parts(
    context: Context, cutouts: Sequence[int], overviews: Sequence[int]
) -> tuple[Spread, Spread]:
    """How many crops there are in each part of a walk; more overviews than crops are refused."""
    levels = ladder(walks.prepared(context.config, context.schedule, context.top).levels)
    every, whole = Spread(levels, cutouts), Spread(levels, overviews)
    for level in levels[:-1]:
        if whole.at(level) > every.at(level):
            what = f"{whole.at(level)} overviews of {every.at(level)} cutouts"
            raise ConfigError(f"guides.clip: {what}; give as many cutouts at least")
    return every, whole
