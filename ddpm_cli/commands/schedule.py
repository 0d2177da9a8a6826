"""`ddpm schedule`: print or plot the noise levels of a schedule."""

import re
from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, listing, outputs, reading, shared
from ddpm_cli.settings.config import resolve
from ddpm_cli.settings.requests import Levels


@click.command(
    "schedule",
    epilog=shared.examples(
        "ddpm schedule",
        "ddpm schedule --set schedule.name=linear --rows 5",
        "ddpm schedule --set schedule.steps=4000 --rows all --csv > levels.csv",
        "ddpm schedule --plot levels.png",
        "ddpm schedule --spectrum photo.png --plot spectrum.png",
    ),
)
@shared.model("Show the schedule of this model.", default="")
@shared.settings
@click.option("--rows", default="20", show_default=True, metavar="N", help="How many, or all.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values.")
@shared.json_lines
@click.option(
    "--plot", metavar="FILE", type=click.Path(path_type=Path), help="Write a picture instead."
)
@click.option(
    "--spectrum",
    metavar="IMAGE",
    shell_complete=completion.paths,
    help="Show what noise leaves of each frequency of an image instead.",
)
@outputs.force("Replace the picture if it exists.")
@listing.list_kinds
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    rows: str,
    as_csv: bool,
    as_json: bool,
    plot: Path | None,
    spectrum: str | None,
    force: bool,
    **_: Any,
) -> None:
    """Print the noise levels of a schedule.

    t counts 1..T as in the papers, index 0..T-1 as stored. The levels are in the units of
    the data: x = x0 + sigma * noise, of which the network sees alpha * x. logsnr is
    -2 log sigma, abar is alpha squared, beta is 1 - abar / (abar before). A continuous
    schedule has times t from 0 to 1, and neither index nor beta.

    --spectrum says of an image, in [-1, 1], how strong each frequency is, in cycles a pixel, and
    at which level and time noise is as strong, as noise of the level sigma has the power sigma^2
    at all of them. --plot draws the spectra of x_t, and what share of each frequency is signal.
    """
    if as_csv + as_json + (plot is not None) > 1:
        raise click.UsageError("Give only one of --csv, --json and --plot.")
    count = _row_count(rows)
    request = Levels(
        rows=count, as_csv=as_csv, as_json=as_json, plot=plot, spectrum=spectrum, force=force
    )

    from ddpm_cli.files.checkpoints import find
    from ddpm_cli.files.checkpoints.header import read_header

    known = None
    if model is not None:
        place = find.find(model)
        known = place, read_header(place.path)
    trained = known[1].layer(known[0].name) if known else None
    config = resolve(reading.layers(ctx, header=trained))

    if spectrum is not None:
        from ddpm_cli.pipelines import spectrum as spectra

        spectra.run(request, config, known)
        return
    from ddpm_cli.pipelines import schedule

    schedule.run(request, config, known)


def _row_count(text: str) -> int | None:
    if text == "all":
        return None
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ConfigError(f"--rows {text!r}: give a number from 1 to 999999999, or all")
    return int(text)
