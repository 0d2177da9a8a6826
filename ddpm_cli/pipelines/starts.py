"""Where `ddpm sample` starts if not at pure noise: at latents of a file, or at a noised image."""

from collections.abc import Sequence
from pathlib import Path

import click
from click.core import ParameterSource
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.checkpoints.checkpoint import Header
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.checkpoints.latents import Latents
from ddpm_cli.files.images import inputs, pixels
from ddpm_cli.models.walks import Start
from ddpm_cli.options import shared, walking
from ddpm_cli.pipelines import encode


def stored(path: Path | None, init: str | None, at: str | None) -> Latents | None:
    """The latents of --from; options that exclude each other are refused."""
    if path is not None and init is not None:
        raise ConfigError("--init: --from says already where to start; give one of them")
    if (init is None) != (at is None):
        missing = "--at, how much noise it is given" if at is None else "--init, the image"
        raise ConfigError(f"--{'init' if at is None else 'at'}: needs {missing}")
    return None if path is None else latents_file.load(path)


def model(ctx: click.Context, asked: str | None, found: Latents | None) -> Found:
    """The model of -m, or the one that made the latents; another one must be asked for."""
    if found is None:
        return find.find(asked)
    if ctx.get_parameter_source("model") != ParameterSource.COMMANDLINE:
        asked = None  # a standing choice of the environment is about other work
    named = find.find(asked or found.record["model"])
    if latents_file.is_of(found, named.path):
        return named
    what = f"{found.path}: latents of another model than {named.name}, or of an earlier one"
    if asked is None:
        raise Refusal(what, "give -m MODEL to decode them all the same")
    console.warn(what)
    return named


def numbers(ctx: click.Context, found: Latents) -> Sequence[int]:
    """Which latents to decode: all, or those whose numbers are given as seeds."""
    count, options_of = len(found.names), ("count", "seed", "seeds")
    if all(ctx.get_parameter_source(key) != ParameterSource.COMMANDLINE for key in options_of):
        return range(count)
    asked = shared.image_seeds(*(ctx.params[key] for key in ("seed", "count", "seeds")))
    if wrong := [number for number in asked if number >= count]:
        raise ConfigError(f"--seeds {wrong[0]}: {found.path} has latents 0 to {count - 1}")
    return asked


def decoding(found: Latents, schedule: Schedule, header: Header) -> Start:
    """The states of latents; the seed of an image is the number of its latent."""
    if found.header.data.shape != header.data.shape:
        theirs, ours = found.header.data.shape, header.data.shape
        raise Refusal(f"{found.path}: latents of shape {theirs}, but the model makes {ours}")
    sigma, z = found.sigma, found.z.double()
    return Start(sigma, lambda seeds: latents.state(schedule, z[list(seeds)], sigma))


def noised(ctx: click.Context, schedule: Schedule, header: Header) -> Start:
    """An image with the noise of x_t, of each seed its own (SDEdit; Meng 2022, section 3)."""
    init, at, fit, background = (ctx.params[key] for key in ("init", "at", "fit", "background"))
    sigma = walking.level(at, schedule)
    source, *others = inputs.sources([init])
    if others:
        raise ConfigError(f"--init {init}: {1 + len(others)} images are in it; name one")
    given = inputs.read(source, header.data.shape, fit, background)
    x0 = pixels.from_uint8(given.image).double()

    def states(seeds: Sequence[int]) -> Tensor:
        repeated = x0.expand(len(seeds), *x0.shape)
        return latents.noised(repeated, sigma, encode.noise(seeds))

    return Start(sigma, states)
