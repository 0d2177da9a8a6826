"""The guide that is a measurement of the image."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from ddpm_cli.diffusion.guidance import Judge, agreement
from ddpm_cli.diffusion.measuring import Operator
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.images.masks import Mask
from ddpm_cli.guides.parts import known_images
from ddpm_cli.guides.parts.context import Context, Guide
from ddpm_cli.models import walk_parts
from ddpm_cli.settings.guides import OWN, PULLS
from ddpm_cli.settings.knobs import Noise, Strength


@dataclass(frozen=True)
class _Window:
    """What lets through the pixels that are known, bool [1, H, W]."""

    known: Tensor

    def missing(self, x: Tensor, y: Tensor) -> Tensor:
        """What is known and x lacks."""
        return (y - x) * self.known


@dataclass(frozen=True)
class Agreeing:
    """Pulls predicted clean images towards those that a measurement y [1, C, H, W] could be of."""

    operator: Operator | _Window
    y: Tensor
    noise: float
    scale: float
    of: Literal["clean"] = "clean"
    at_mean: bool = False

    def judge(self, seeds: Sequence[int]) -> Judge:
        """What it says of the images of these seeds, whatever they are."""
        return self.score

    def score(self, x0: Tensor, sigma: Tensor) -> Tensor:
        """How well images x0 [B, C, H, W] agree with the measurement, [B]."""
        missing = self.operator.missing(x0, self.y.to(x0))
        return agreement(missing, sigma, noise=self.noise, scale=self.scale)


def restore(
    context: Context,
    *,
    image: str = "",
    mask: list[str] = [],  # noqa: B006  (read, never changed)
    keeps: Literal["auto", "black", "white", "clear", "opaque"] = "auto",
    fit: Literal["error", "crop", "resize"] = "error",
    noise: Noise = 0.05,
    scale: Strength = 1.0,
) -> Guide:
    """A measurement pulls towards images that it could be of: small, grey, blurred or with holes.

    image: what is known, changed by `operator`, or whole but for the white of `mask`, files or
    boxes; keeps: what stays of it.  fit: what to do with an image of another size.  noise: its
    standard deviation, of images in [-1, 1] (Chung 2023, DPS; Song 2023, Pi-GDM).
    """
    context.refuse_arrays("restore")
    if not mask and "operator" not in context.config:
        fix = 'add --set operator.name=upscale, colorize or deblur, or mask="..."'
        raise ConfigError(f"guides.restore: what was done to the image? {fix}")
    undone = "" if mask else context.config["operator"]["name"]
    if undone not in ("", *PULLS):
        why = "it leaves no image that a gradient could pull towards"
        asked = "FILE.py:NAME" if undone == OWN else undone
        fix = f"ddpm guide --restore {asked} --method pigdm does without"
        raise ConfigError(f"guides.restore: operator {undone}: {why}; {fix}")
    shape = context.info.shape
    operator = None if mask else walk_parts.operator(context.config, context.info)
    source = Source(str(context.file("restore.image", image)), "image")
    ranges = Ranges.of(context.range, context.info.range)
    takes = shape if operator is None else operator.shape
    picture = known_images.read(source, takes, fit, ranges)
    y = picture.values[None].to(context.compute.device, context.compute.state_dtype)
    if operator is not None:
        return Agreeing(operator, y, noise, scale)
    known = known_images.known(Mask(mask, keeps), source, picture)
    return Agreeing(_Window(known.to(y.device)), y, noise, scale)
