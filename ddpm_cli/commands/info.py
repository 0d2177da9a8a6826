"""`ddpm info`: what a model, an image or a data set is, and how to go on with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, numbers, outputs, replaying, shared
from ddpm_cli.settings.config import merge
from ddpm_cli.settings.requests import Info
from ddpm_cli.settings.toml import parse_set


@click.command(
    "info",
    epilog=shared.examples(
        "ddpm info",
        "ddpm info runs/mnist",
        "ddpm info runs/mnist --toml > again.toml",
        "ddpm info digits.png",
        "ddpm info digits.png --command",
        "ddpm info points.safetensors",
        "ddpm info photos/ --sheet some.png",
        "ddpm info data:mnist",
    ),
)
@click.argument("target", required=False, shell_complete=completion.targets)
@click.option(
    "--command", "as_command", is_flag=True, help="Print the command that re-creates the samples."
)
@click.option("--toml", "as_toml", is_flag=True, help="Print the model's full configuration.")
@click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    shell_complete=completion.assignments,
    help="Of data: how they are read, as in data.label=kind; may be repeated.",
)
@click.option(
    "--limit",
    type=numbers.whole(),
    help="Of data: look at that many rows, evenly spread, instead of all.",
)
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    shell_complete=completion.paths,
    help="Of data: show some images of each class in this PNG.",
)
@outputs.force("Replace a --sheet that exists.")
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    target: str | None,
    as_command: bool,
    as_toml: bool,
    assignments: Sequence[str],
    limit: int | None,
    sheet: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what a model, image or data set is, and its making.

    TARGET is samples made by ddpm, a table that nll, eval or schedule wrote, a checkpoint, a run
    folder, a model's name, or data: a folder of images, a zip, .npy, .csv or IDX file, ..., or
    data:NAME for a set that ddpm knows, or data:FILE for a table that ddpm wrote. Of data
    it says how they are read, how many, their sizes, classes and values, what is double or cannot
    be read (which is no failure), and the command to train. Without TARGET: the model that ddpm
    sample would use. - reads one PNG from standard input.
    """
    request = Info(
        target=target,
        as_command=as_command,
        as_toml=as_toml,
        as_json=as_json,
        data=_of_data(assignments),
        limit=limit,
        sheet=sheet,
        force=force,
    )

    from ddpm_cli.pipelines import info

    group = ctx.find_root().command
    info.run(request, lambda verb, words: replaying.kept(group, verb, words, target or "-"))


def _of_data(assignments: Sequence[str]) -> dict[str, Any]:
    """The settings of `[data]` that --set gives."""
    told = merge(list(map(parse_set, assignments)))
    if others := [table for table in told if table != "data"]:
        raise ConfigError(f"--set {others[0]}: only data.KEY says how data are read")
    settings = told.get("data", {})
    if not isinstance(settings, dict):
        raise ConfigError("--set data: give one of its keys, as data.label=kind")
    return {key.replace("-", "_"): value for key, value in settings.items()}
