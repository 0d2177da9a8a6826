"""`ddpm presets`: list the named configurations, or print one of them in full."""

import click

from ddpm_cli.options import completion, shared


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
    order. One preset may start from another by extends="mnist".
    """
    from ddpm_cli.pipelines import presets

    presets.run(name, as_json=as_json)
