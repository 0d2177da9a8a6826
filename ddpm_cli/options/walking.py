"""The options that say how to walk between noise and images, and what they stand for."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import shared
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.config import SAMPLING, Config, Layer

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.diffusion.schedules import Schedule

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Which key of the configuration an option of `steps` sets.
_KEYS = {"sampler": "sampler.name", "steps": "levels.count"}


def steps(default: str = "") -> Callable[[_Command], _Command]:
    """Make --sampler, --steps and --calls, which `resolved` and `sized` read."""

    def add(command: _Command) -> _Command:
        command = click.option(
            "--calls",
            type=click.IntRange(min=1),
            help="As many steps as cost N network calls.",
            metavar="N",
        )(command)
        command = click.option(
            "--steps", type=click.IntRange(min=1), help="Moves from noise to image."
        )(command)
        text = f"Step from a noise level to the next{default}."
        return shared.component("sampler", "--sampler", help=text)(command)

    return add


def trajectory(command: _Command) -> _Command:
    """Add --trajectory and --frames."""
    command = click.option(
        "--frames",
        type=click.IntRange(min=2),
        metavar="N",
        help="States to keep of the walk, evenly chosen; by default 60 of a .gif, 8 of a .png, "
        "all of other files.",
    )(command)
    return click.option(
        "--trajectory",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Keep the whole walk as well: .npz, .safetensors, or drawn as .gif or .png.",
    )(command)


def aug_noise(command: _Command) -> _Command:
    """Add --aug-noise, of the later models of a cascade."""
    return click.option(
        "--aug-noise",
        type=click.FloatRange(min=0, max=100),
        metavar="LEVEL",
        default=0.0,
        help="Noise that each further model adds to what it enlarges.",
    )(command)


def label(command: _Command) -> _Command:
    """Add --class, of one class or of several that take turns."""
    return click.option(
        "--class",
        "label",
        metavar="NAME",
        help="Class name or number, several as 0-4,8 or all, which take turns, or none.",
    )(command)


def rest(*, skips: bool = False) -> Callable[[_Command], _Command]:
    """Make the options that close each of these commands; skips: --skip-existing is one."""

    def add(command: _Command) -> _Command:
        command = shared.list_kinds(shared.common(command))
        command = shared.force()(shared.dry_run(shared.json_lines(command)))
        command = shared.skip_existing(command) if skips else command
        return shared.settings(shared.hardware(command))

    return add


def at(help: str) -> Callable[[_Command], _Command]:
    """Make the --at option, which `level` reads."""
    text = f"{help} T counts 1..T as in the papers, is a time up to 1 of a continuous process, "
    return click.option("--at", metavar="T", help=f"{text}or 40% of either.")


def layers(
    ctx: click.Context, trained: Layer, keys: Mapping[str, str] | None = None
) -> list[Layer]:
    """The layer of the checkpoint, then what is asked for: files are read, and recipes told, once.

    keys: options that set a key, besides --sampler and --steps.
    """
    return shared.layers(ctx, {**_KEYS, **(keys or {})}, trained)


def resolved(ctx: click.Context, trained: Layer, *own: Layer, free: Sequence[str] = ()) -> Config:
    """The checkpoint's configuration as it is asked for; see `settled`."""
    return settled(ctx, layers(ctx, trained), *own, free=free)


def settled(
    ctx: click.Context,
    read: Sequence[Layer],
    *own: Layer,
    above: Sequence[Layer] = (),
    free: Sequence[str] = (),
) -> Config:
    """The checkpoint's configuration with other ways to walk; what it was trained as is fixed.

    read: what `layers` gave; own: layers of the command itself, above the checkpoint and below all
    that is asked for; above: what its own flags ask for; free: tables that the command alone has
    a use for.
    """
    trained, *asked = read
    config = configuration.resolve([trained, *own, *asked, *above])
    if config["constraints"] and "constraints" not in free:
        raise ConfigError("constraints: of images with known pixels; see ddpm inpaint")
    if config["guides"] and "guides" not in free:
        raise ConfigError("guides: only of ddpm guide")
    check_guidance(config)
    configuration.refuse_other_training(
        dict(trained.values), config, (*SAMPLING, *free, "compute", "summary")
    )
    if ctx.params["calls"] is not None and ctx.params["steps"] is not None:
        raise ConfigError("--calls: --steps says already how many; give one of them")
    return config


def check_guidance(config: Config) -> None:
    """Refuse guidance away from the null class of a model that has none, and idle settings."""
    settings = config.get("guidance", {})
    if settings.get("scale", 1.0) == 1:
        idle = [key for key in ("low", "high", "rescale") if settings.get(key)]
        if idle:
            fix = "set guidance.scale, too"
            raise ConfigError(f"guidance.{idle[0]}: of no use where guidance.scale is 1; {fix}")
        return
    if not config["network"].get("classes"):
        fix = "guide it by a classifier: ddpm guide --classifier"
        raise ConfigError(f"guidance.scale: this model was trained without classes; {fix}")
    if not config["train"]["drop_class"]:
        fix = "train one with train.drop_class=0.1"
        raise ConfigError(
            f"guidance.scale: this model always saw the class (train.drop_class=0), so it has no "
            f"null class to be guided away from; {fix}"
        )


def sized(
    ctx: click.Context, config: Config, schedule: "Schedule", top: "Tensor | None" = None
) -> Config:
    """The configuration with as many levels as --calls allows, on a walk from the level `top`."""
    from ddpm_cli.models import cost as planning

    calls = ctx.params["calls"]
    return config if calls is None else planning.fit_calls(config, schedule, calls, top)


def cost(calls: int | None, what: str = "an image") -> str:
    """What a walk costs in words; None: as many calls as its tolerance needs."""
    return f"{calls} network calls {what}" if calls else f"network calls as {what} needs them"


def level(text: str, schedule: "Schedule") -> "Tensor":
    """The noise level that --at names."""
    from ddpm_cli.diffusion import latents

    match = re.fullmatch(r"([0-9]{1,9}|[0-9]{0,9}\.[0-9]{1,18})(%?)", text.strip())
    if match is None:
        raise ConfigError(f"--at {text!r}: this is no time; write it as 400, 0.4 or 40%")
    at, is_share = float(match[1]), bool(match[2])
    try:
        return latents.level(schedule, at / 100 if is_share else at, share=is_share)
    except ValueError as error:
        raise ConfigError(f"--at {text}: {error}") from None
