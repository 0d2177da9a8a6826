"""`ddpm info`: what a model or an image is, and how to make it again."""

import click

from ddpm_cli.options import completion, replaying, shared
from ddpm_cli.settings.requests import Info


@click.command(
    "info",
    epilog=shared.examples(
        "ddpm info",
        "ddpm info runs/mnist",
        "ddpm info runs/mnist --toml > again.toml",
        "ddpm info digits.png",
        "ddpm info digits.png --command",
        "ddpm info points.safetensors",
    ),
)
@click.argument("target", required=False, shell_complete=completion.targets)
@click.option(
    "--command", "as_command", is_flag=True, help="Print the command that re-creates the samples."
)
@click.option("--toml", "as_toml", is_flag=True, help="Print the model's full configuration.")
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context, /, target: str | None, as_command: bool, as_toml: bool, as_json: bool
) -> None:
    """Show what a model or an image is, and how it was made.

    TARGET is samples made by ddpm, a checkpoint, a run folder or a model's name. Without TARGET:
    the model that ddpm sample would use. - reads one PNG from standard input.
    """
    request = Info(target=target, as_command=as_command, as_toml=as_toml, as_json=as_json)

    from ddpm_cli.pipelines import info

    group = ctx.find_root().command
    info.run(request, lambda verb, words: replaying.kept(group, verb, words, target or "-"))
