"""`ddpm presets`: list the named configurations, or print one of them in full."""

import click

from ddpm_cli import console
from ddpm_cli.options import completion, shared
from ddpm_cli.settings import config, presets, recipes
from ddpm_cli.settings.toml import dump_toml


@click.command(
    "presets",
    epilog=shared.examples(
        "ddpm presets",
        "ddpm presets --json",
        "ddpm presets mnist > my.toml  # a start for ddpm train --config my.toml",
    ),
)
@click.argument("name", required=False, shell_complete=completion.preset_names)
@shared.json_lines
@shared.common
def command(name: str | None, as_json: bool) -> None:
    """List the presets, or print preset NAME in full.

    A preset is printed as a complete TOML configuration. Presets are looked for in the
    folder presets here, in the user's configuration folder and in the package, in this
    order. One preset may start from another: extends = "mnist".
    """
    if name is not None:
        _print_one(name, as_json)
        return
    listed = presets.list_presets()
    width = max((len(preset) for preset, _, _ in listed), default=0)
    for preset, summary, where in listed:
        if as_json:
            console.json_line({"name": preset, "summary": summary, "where": where})
        else:
            origin = "" if where == "packaged" else f"  [{where}]"
            console.result(f"{preset:{width}}  {summary}{origin}".rstrip())


def _print_one(name: str, as_json: bool) -> None:
    resolved = config.resolve(recipes.expand(presets.layers(name)))
    if as_json:
        console.json_line(resolved)
    else:
        console.result(dump_toml(resolved).rstrip("\n"))
