"""The options of results: where they go, how a sheet shows them, which files are replaced."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, numbers
from ddpm_cli.settings import layouts

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output(help: str, required: bool = False) -> Callable[[_Command], _Command]:
    """Make the -o/--output option; commands take the text, as `-` and templates are legal."""
    return click.option(
        "-o",
        "--output",
        metavar="PATH",
        required=required,
        help=help,
        shell_complete=completion.paths,
        callback=_named,
    )


def _named(ctx: click.Context, param: click.Parameter, place: str | None) -> str | None:
    """An output as it was given; an empty one is a variable that was not set."""
    if place is not None and not place.strip():
        raise ConfigError("-o: an empty name; leave it out for the usual place")
    return place


def results(default: str) -> Callable[[_Command], _Command]:
    """Make the -o/--output option of a command that edits inputs, for files.outputs.edits."""
    return output(
        "PNG, folder/, a name with {name} or {seed} in it, or - for stdout; by default "
        f"{default}.png, or a folder {default}/ for several results."
    )


def zoom(command: _Command) -> _Command:
    """Add --zoom of a sheet."""
    return click.option(
        "--zoom",
        type=numbers.whole(1, layouts.ZOOM_LIMIT),
        default=1,
        show_default=True,
        metavar="N",
        help="Show each pixel of a sheet as a square of N x N.",
    )(command)


def layout(command: _Command) -> _Command:
    """Add --columns, --zoom and --labels of a sheet, which options.reading.layout reads."""
    command = click.option(
        "--labels",
        metavar="KEY,...",
        shell_complete=completion.labels,
        help="Write below each image of a sheet what its record says, as seed,class,sampler or "
        "guidance.scale.",
    )(command)
    command = zoom(command)
    return click.option(
        "--columns",
        type=numbers.whole(1, layouts.COLUMN_LIMIT),
        metavar="N",
        help="Images in a row of a sheet; by default it is nearly a square.",
    )(command)


def skip_existing(command: _Command) -> _Command:
    """Add the --skip-existing flag."""
    return click.option(
        "--skip-existing", is_flag=True, help="Leave out files that exist already."
    )(command)


def force(help: str = "Replace files that exist.") -> Callable[[_Command], _Command]:
    """Make the --force flag."""
    return click.option("--force", is_flag=True, help=help)
