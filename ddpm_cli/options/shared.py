"""The options that several commands share: of the model, seeds, inputs, settings and hardware."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from ddpm_cli import console
from ddpm_cli.options import completion, numbers
from ddpm_cli.options.completion import ComponentChoice
from ddpm_cli.settings import seeds as seed_lists

_Command = TypeVar("_Command", bound=Callable[..., Any])


def examples(*lines: str) -> str:
    """Return the epilog of a command: its examples, one a line."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def component(kind: str, *flags: str, help: str) -> Callable[[_Command], _Command]:
    """Make an option that names a component: component("sampler", "--sampler", help=...)."""
    return click.option(*flags, type=ComponentChoice(kind), help=f"{help} See --list {kind}.")


def count(default: int, help: str = "How many images.") -> Callable[[_Command], _Command]:
    """Make the -n/--count option."""
    return click.option(
        "-n",
        "--count",
        type=numbers.whole(1, seed_lists.LIMIT),
        default=default,
        show_default=True,
        help=help,
    )


def model(
    help: str, default: str = "newest run in ./runs, else bundled"
) -> Callable[[_Command], _Command]:
    """Make the -m/--model option; `default` says in words what stands in for a missing one."""
    return click.option(
        "-m",
        "--model",
        metavar="MODEL",
        envvar="DDPM_MODEL",
        show_envvar=True,
        show_default=f"the {default}" if default else False,
        help=help,
        shell_complete=completion.models,
    )


def seed(
    default: int | None = 0, help: str = "Seed of the first image."
) -> Callable[[_Command], _Command]:
    """Make the -s/--seed option."""
    return click.option(
        "-s",
        "--seed",
        type=click.IntRange(0, seed_lists.LIMIT - 1),
        metavar="SEED",
        default=default,
        show_default=default is not None,
        envvar="DDPM_SEED",
        show_envvar=True,
        help=help,
    )


def batch(help: str = "Images computed at once.") -> Callable[[_Command], _Command]:
    """Make the -b/--batch option."""
    return click.option(
        "-b",
        "--batch",
        type=numbers.whole(1, 1_048_576),
        envvar="DDPM_BATCH",
        show_envvar=True,
        help=help,
    )


def seeds_of(ctx: click.Context, param: click.Parameter, lists: Sequence[str]) -> Any:
    """The seeds of one list or several; None of none."""
    return seed_lists.parse(",".join(lists)) if lists else None


def seeds(command: _Command) -> _Command:
    """Add the --seeds option."""
    return click.option(
        "--seeds",
        metavar="LIST",
        multiple=True,
        callback=seeds_of,
        help="Seeds and ranges of seeds, as in 0-9,40; instead of -n and --seed.",
    )(command)


def inputs(command: _Command) -> _Command:
    """Add the INPUT... arguments, a tuple of paths that files.images.inputs.sources resolves."""
    return click.argument(
        "inputs", metavar="INPUT...", nargs=-1, required=True, shell_complete=completion.paths
    )(command)


def fitting(command: _Command) -> _Command:
    """Add --fit and --background, which files.images.inputs.read takes."""
    command = click.option(
        "--background",
        metavar="COLOUR",
        default="white",
        show_default=True,
        help="Colour behind transparency and around padding: a name or #rrggbb.",
    )(command)
    return click.option(
        "--fit",
        type=click.Choice(["error", "pad", "crop", "resize"]),
        default="error",
        show_default=True,
        help="What to do with an input of another size than the model's: pad centres it and "
        "takes the padding off again, crop scales it and keeps the middle, resize stretches it.",
    )(command)


def channels(command: _Command) -> _Command:
    """Add --channels, which request_parts.Look takes."""
    return click.option(
        "--channels",
        type=click.Choice(["auto", "grey", "each"]),
        default="auto",
        show_default=True,
        help="What a grey model makes of a picture in colour: grey, or red, green and blue each "
        "by itself with the same noise, which takes three times as long; auto: grey, and warns.",
    )(command)


def mask_keeps(default: str | None) -> Callable[[_Command], _Command]:
    """Make --mask-keeps, which files.images.masks.Mask takes."""
    return click.option(
        "--mask-keeps",
        type=click.Choice(["auto", "black", "white", "clear", "opaque"]),
        default=default,
        show_default=default is not None,
        help="What stays of a mask: black or white, which turns it round, or by its transparency "
        "what is clear or opaque; auto: black, or of a layer in one colour what is clear.",
    )


def settings(command: _Command) -> _Command:
    """Add --preset, --config and --set, which `layers` reads."""
    command = click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        shell_complete=completion.assignments,
        help="Set one value, as in sampler.eta=0.5; may be repeated.",
    )(command)
    command = click.option(
        "--config",
        "config_file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Read settings from a TOML file.",
    )(command)
    return click.option(
        "--preset",
        metavar="NAME",
        envvar="DDPM_PRESET",
        show_envvar=True,
        shell_complete=completion.preset_names,
        help="Start from a named configuration; see ddpm presets.",
    )(command)


def hardware(command: _Command) -> _Command:
    """Add --device, --dtype and --compile, which `layers` reads."""
    command = click.option(
        "--compile",
        is_flag=True,
        help="Compile the network first: minutes to start, then faster; needs a C++ compiler.",
    )(command)
    command = click.option(
        "--dtype",
        metavar="NAME",
        envvar="DDPM_DTYPE",
        show_envvar=True,
        shell_complete=completion.formats,
        help="Number format of the network, as float32 or bfloat16.",
    )(command)
    return click.option(
        "--device",
        metavar="NAME",
        envvar="DDPM_DEVICE",
        show_envvar=True,
        shell_complete=completion.devices,
        help="Device to compute on, as cpu, cuda, cuda:1 or mps.",
    )(command)


def dry_run(command: _Command) -> _Command:
    """Add the --dry-run flag."""
    return click.option(
        "--dry-run",
        is_flag=True,
        help="Print the full configuration and the plan, and do nothing else.",
    )(command)


def json_lines(command: _Command) -> _Command:
    """Add the --json flag, passed to the command as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")(
        command
    )


def common(command: _Command) -> _Command:
    """Add -q, -v and -h, which every command has; the command gets no parameter for them."""
    command = click.help_option("-h", "--help")(command)
    command = click.option(
        "-v",
        "--verbose",
        count=True,
        is_eager=True,
        expose_value=False,
        callback=_choose_verbosity,
        help="Say more; -vv shows the traceback of an error.",
    )(command)
    return click.option(
        "-q",
        "--quiet",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_choose_verbosity,
        help="Say nothing but warnings and errors.",
    )(command)


def _choose_verbosity(ctx: click.Context, param: click.Parameter, value: int | bool) -> None:
    if value and not ctx.resilient_parsing:
        console.set_verbosity(-1 if param.name == "quiet" else int(value))
