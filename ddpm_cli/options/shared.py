"""The options that several commands share, and the layers of settings they stand for."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from ddpm_cli import console
from ddpm_cli.options import completion
from ddpm_cli.options.completion import ComponentChoice
from ddpm_cli.settings import catalog, config, presets, recipes
from ddpm_cli.settings import seeds as seed_lists
from ddpm_cli.settings.config import Layer
from ddpm_cli.settings.requests import Look, Seeds
from ddpm_cli.settings.toml import parse_set, toml_value

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Which key of the configuration an option of this name sets, in every command.
_KEYS = {"device": "compute.device", "dtype": "compute.dtype", "compile": "compute.compile"}


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
        type=click.IntRange(min=1),
        default=default,
        show_default=True,
        help=help,
    )


def output(help: str, required: bool = False) -> Callable[[_Command], _Command]:
    """Make the -o/--output option; commands take the text, as `-` and templates are legal."""
    return click.option(
        "-o",
        "--output",
        metavar="PATH",
        required=required,
        help=help,
        shell_complete=completion.paths,
    )


def results(default: str) -> Callable[[_Command], _Command]:
    """Make the -o/--output option of a command that edits inputs, for files.results."""
    return output(
        "PNG, folder/, a name with {name} or {seed} in it, or - for stdout; by default "
        f"{default}.png, or a folder {default}/ for several results."
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
        type=click.IntRange(min=1),
        envvar="DDPM_BATCH",
        show_envvar=True,
        help=help,
    )


def seeds(command: _Command) -> _Command:
    """Add the --seeds option."""
    return click.option(
        "--seeds",
        metavar="LIST",
        callback=lambda ctx, param, value: None if value is None else seed_lists.parse(value),
        help="Seeds and ranges of seeds, as in 0-9,40; instead of -n and --seed.",
    )(command)


def inputs(command: _Command) -> _Command:
    """Add the INPUT... arguments, a tuple of paths that files.inputs.sources resolves."""
    return click.argument(
        "inputs", metavar="INPUT...", nargs=-1, required=True, shell_complete=completion.paths
    )(command)


def fitting(command: _Command) -> _Command:
    """Add --fit and --background, which files.inputs.read takes."""
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


def skip_existing(command: _Command) -> _Command:
    """Add the --skip-existing flag."""
    return click.option(
        "--skip-existing", is_flag=True, help="Leave out files that exist already."
    )(command)


def settings(command: _Command) -> _Command:
    """Add --preset, --config and --set, which `layers` reads."""
    command = click.option(
        "--set",
        "assignments",
        metavar="KEY=VALUE",
        multiple=True,
        shell_complete=completion.set_keys,
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
        help="Number format of the network, as float32 or bfloat16.",
    )(command)
    return click.option(
        "--device",
        metavar="NAME",
        envvar="DDPM_DEVICE",
        show_envvar=True,
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


def force(help: str = "Replace files that exist.") -> Callable[[_Command], _Command]:
    """Make the --force flag."""
    return click.option("--force", is_flag=True, help=help)


def list_kinds(command: _Command) -> _Command:
    """Add the eager --list KIND option, which prints the components of a kind and exits."""
    kinds = [*filter(catalog.exists, catalog.KINDS), *catalog.FIXED]
    return click.option(
        "--list",
        type=click.Choice(kinds),
        metavar="KIND",
        is_eager=True,
        expose_value=False,
        callback=_print_components,
        help=f"List components and their settings, and exit: {', '.join(kinds)}.",
    )(command)


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


def layers(
    ctx: click.Context,
    keys: Mapping[str, str] | None = None,
    header: Layer | None = None,
) -> list[Layer]:
    """Return the layers that the command line, the environment and a checkpoint ask for.

    `keys` says which parameter of the command sets which key ({"batch": "train.batch"}).
    Flag and --set > environment > --config > --preset > checkpoint header.
    """
    given: dict[str, list[dict[str, Any]]] = {"COMMANDLINE": [], "ENVIRONMENT": []}
    for parameter, key in {**_KEYS, **(keys or {})}.items():
        source = ctx.get_parameter_source(parameter)
        if source is not None and source.name in given and ctx.params[parameter] is not None:
            table, knob = key.split(".")
            given[source.name].append({table: {knob: ctx.params[parameter]}})
    given["COMMANDLINE"] += map(parse_set, ctx.params.get("assignments") or ())
    given["ENVIRONMENT"] += _environment_assignments()
    found = [] if header is None else [header]
    if ctx.params.get("preset"):
        found += presets.layers(ctx.params["preset"])
    if ctx.params.get("config_file"):
        found += presets.file_layers(ctx.params["config_file"])
    found.append(Layer("the environment", config.merge(given["ENVIRONMENT"])))
    found.append(Layer("the command line", config.merge(given["COMMANDLINE"])))
    return recipes.expand([layer for layer in found if layer.values])


def _environment_assignments() -> list[dict[str, Any]]:
    """Read DDPM_SET, a list of table.key=value separated by semicolons."""
    items = os.environ.get("DDPM_SET", "").split(";")
    return [parse_set(item.strip()) for item in items if item.strip()]


def words(ctx: click.Context, *names: str) -> list[str]:
    """The words that set these parameters of a command; those left at their default need none."""
    found: list[str] = []
    for option in ctx.command.params:
        if option.name not in names:
            continue
        if ctx.get_parameter_source(option.name) in (None, ParameterSource.DEFAULT):
            continue
        flag, value = max(option.opts, key=len), ctx.params[option.name]
        if isinstance(value, bool):
            found += [flag] * value
        elif value is not None:
            for item in value if option.multiple else [value]:
                found += [flag, str(item)]
    return found


def chosen_seeds(ctx: click.Context) -> Seeds:
    """Which seeds a command line asks for."""
    sources = {name: ctx.get_parameter_source(name) for name in ("count", "seed", "seeds")}
    is_usual = sources["count"] == ParameterSource.DEFAULT
    return Seeds(
        first=ctx.params["seed"],
        count=None if is_usual else ctx.params["count"],
        listed=ctx.params["seeds"],
        is_chosen=ParameterSource.COMMANDLINE in sources.values(),
    )


def look(ctx: click.Context) -> Look:
    """How a command line wants image files fitted to a model."""
    return Look(fit=ctx.params["fit"], background=ctx.params["background"])


def describe(kind: str) -> str:
    """Describe the components of a kind: names, one sentence each, knobs and defaults."""
    is_fixed = kind in catalog.FIXED
    found = (
        [catalog.fixed(kind)] if is_fixed else [catalog.find(kind, n) for n in catalog.names(kind)]
    )
    lines = []
    for item in found:
        lines.append(f"{item.name}: {item.summary}.")
        for knob in item.knobs.values():
            default = "none" if knob.default is None else toml_value(knob.default)
            lines.append(f"  {knob.name} = {default}  ({knob.kind})")
    lines += recipes.describe() if kind == "sampler" else []
    return "\n".join(lines) or f"There is no {kind} component."


def _print_components(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        console.result(describe(value))
        ctx.exit()


def _choose_verbosity(ctx: click.Context, param: click.Parameter, value: int | bool) -> None:
    if value and not ctx.resilient_parsing:
        console.set_verbosity(-1 if param.name == "quiet" else int(value))
