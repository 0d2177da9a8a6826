"""`ddpm selftest`: is this installation sound?"""

from typing import Any

import click

from ddpm_cli.options import reading, shared
from ddpm_cli.settings import config as configuration


@click.command(
    "selftest",
    epilog=shared.examples("ddpm selftest", "ddpm selftest --device cpu --dtype float32 --json"),
)
@shared.hardware
@shared.json_lines
@shared.common
@click.pass_context
def command(ctx: click.Context, /, as_json: bool, **_: Any) -> None:
    """Compare this installation with closed-form results.

    It takes under 30 seconds on two cores. Checks schedules, samplers and losses against exact
    values, the arithmetic of the device, that an image does not depend on its batch, and that
    checkpoints survive a round trip.
    """
    config = configuration.resolve(reading.layers(ctx))

    from ddpm_cli.pipelines import selftest

    selftest.run(config, as_json=as_json)
