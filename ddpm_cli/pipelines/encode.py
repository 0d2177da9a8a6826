"""Images to latents and back with a model: the settings for it, and a batch either way."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Bindable
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.checkpoints.checkpoint import DataInfo, Header
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.images import pixels as images
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, cost, walks
from ddpm_cli.settings.config import Config, Layer

# A model's own way to walk is for drawing new images. Levels run to where the image is gone;
# a clean image that is clamped on the way up is another one on the way down.
OWN = Layer(
    "ddpm encode",
    {
        "sampler": {"name": "heun"},
        "corrector": {"name": "none"},
        "levels": {"name": "logsnr", "count": 50},
        "wrappers": [],
        "edits": [],
        "constraints": [],
    },
)
LOSSY = ("clamp", "threshold")


def plan(config: Config, schedule: Schedule) -> tuple[int, int | None]:
    """Moves and network calls from noise to image; what cannot be walked back is refused."""
    for settings in config["wrappers"]:
        if settings["name"] in LOSSY:
            fix = "leave it out, nothing is clamped on this walk"
            raise ConfigError(f"wrappers.{settings['name']}: no image would come back; {fix}")
    if config["edits"] or config.get("corrector"):
        raise ConfigError("edits: between images and latents the way is straight; leave them out")
    moves, calls = cost.plan(config, schedule, rng=latents.Silent())
    if moves < 3:
        raise ConfigError(f"levels: {moves} moves are no way to noise; use --steps 3 or more")
    return moves, calls


class Coder(NamedTuple):
    """A model and the configuration of a deterministic walk."""

    denoiser: Bindable
    config: Config
    info: DataInfo
    compute: Compute
    header: Header

    @property
    def levels(self) -> Tensor:
        """From noise down to images."""
        return walks.path(self.config, self.denoiser.schedule)

    def encode(self, x0: Tensor, classes: Sequence[int] | None) -> Tensor | None:
        """Latents float64 of images [B, ...] in [-1, 1], in units of the prior; None if stopped.

        Where the sampler chooses its steps by the image, images are walked one by one.
        """
        levels, schedule = self.levels, self.denoiser.schedule
        x0 = x0.to(self.compute.device, self.compute.state_dtype)
        size = 1 if build.is_adaptive(self.config) else len(x0)
        batch, made = walks.Batch(range(len(x0)), classes), []
        for first in range(0, len(x0), size):
            rows = slice(first, first + size)
            given = walks.condition(batch, rows, self.compute)
            denoise = build.wrapped(self.config, walks.bound(self.denoiser, self.config, given))
            states = latents.encode(denoise, x0[rows], levels, build.predictor(self.config))
            found = walks.last(states)
            if found is None:
                return None
            made.append(latents.unit(schedule, found.x, levels[0]))
        return torch.cat(made)

    def decode(self, z: Tensor, classes: Sequence[int] | None) -> Tensor | None:
        """The images [B, ...] of latents; None if stopped."""
        x = latents.state(self.denoiser.schedule, z, self.levels[0])
        return self.descend(x, range(len(z)), classes)

    def descend(
        self,
        x: Tensor,
        seeds: Sequence[int],
        classes: Sequence[int] | None,
        top: Tensor | None = None,
    ) -> Tensor | None:
        """Walk states [B, ...] at the highest level, or at `top`, down to images."""
        levels = walks.path(self.config, self.denoiser.schedule, top)
        batch = walks.Batch(seeds, classes, start=x)
        chunk = walks.chunk(self.denoiser, self.config, self.info, self.compute, batch, levels)
        found = walks.last(chunk.states)
        return None if found is None else found.x


def coder(found: Found, config: Config) -> Coder:
    """The model that was found, its weights on the device that the configuration names."""
    model = walks.ready(found, config)
    return Coder(model.denoiser, config, model.info, model.compute, model.header)


class Encoded(NamedTuple):
    """Latents [B, ...] of a batch, and how close their images come to the originals.

    decibels: PSNR of each; largest: the largest difference of its pixels, of 255.
    """

    z: Tensor
    decibels: list[float] | None = None
    largest: list[int] | None = None


def walked(
    coder: Coder, pixels: Tensor, classes: Sequence[int] | None, *, is_checked: bool
) -> Encoded | None:
    """Encode images uint8 [B, C, H, W] and decode them to see what returns; None if stopped."""
    z = coder.encode(images.from_uint8(pixels), classes)
    if z is not None and not bool(z.isfinite().all()):
        raise Refusal("values that are not finite", "try --dtype float32, or more --steps")
    if z is None or not is_checked:
        return z if z is None else Encoded(z)
    made = coder.decode(z, classes)
    if made is None:
        return None
    made = made.cpu()
    decibels = psnr(made, images.from_uint8(pixels)).tolist()
    apart = (images.to_uint8(made).int() - pixels.int()).abs().flatten(1).amax(1)
    return Encoded(z, decibels, apart.tolist())


def forward(pixels: Tensor, seeds: Sequence[int], *, sigma: Tensor, schedule: Schedule) -> Encoded:
    """Draw latents of images uint8 [B, C, H, W] from q(x_t given x0), in units of the prior."""
    x = latents.noised(images.from_uint8(pixels).double(), sigma, noise(seeds))
    return Encoded(latents.unit(schedule, x, sigma))


def noise(seeds: Sequence[int]) -> Rng:
    """The noise that images are given, apart from that of the walk which takes it away again."""
    return Rng([keyed(seed, "noised") for seed in seeds])
