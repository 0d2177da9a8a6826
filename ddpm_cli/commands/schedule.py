"""`ddpm schedule`: print or plot the noise levels of a schedule."""

import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal, missing_extra
from ddpm_cli.options import listing, reading, shared
from ddpm_cli.settings import config
from ddpm_cli.settings.config import Layer

if TYPE_CHECKING:
    from ddpm_cli.diffusion.schedules import Schedule


# t: the papers' 1..T, or the time in [0, 1] of a continuous process. index: as stored, 0..T-1.
COLUMNS = ("t", "index", "sigma", "alpha", "logsnr", "beta", "abar")
Row = dict[str, float | None]
PLOTTED = 1000  # points of a curve


@click.command(
    "schedule",
    epilog=shared.examples(
        "ddpm schedule",
        "ddpm schedule --set schedule.name=linear --rows 5",
        "ddpm schedule --set schedule.steps=4000 --rows all --csv > levels.csv",
        "ddpm schedule --plot levels.png",
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
@shared.force("Replace the picture if it exists.")
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
    force: bool,
    **_: Any,
) -> None:
    """Print the noise levels of a schedule.

    t counts 1..T as in the papers, index 0..T-1 as stored. The levels are in the units of
    the data: x = x0 + sigma * noise, of which the network sees alpha * x. logsnr is
    -2 log sigma, abar is alpha squared, beta is 1 - abar / (abar before). A continuous
    schedule has times t from 0 to 1, and neither index nor beta.
    """
    if as_csv + as_json + (plot is not None) > 1:
        raise click.UsageError("Give only one of --csv, --json and --plot.")
    count = PLOTTED if plot is not None else _row_count(rows)
    table = tabulate(_schedule(ctx, model), count)
    if plot is not None:
        _plot(table, plot, force)
        console.result(str(plot))
        return
    if as_json:
        for row in table:
            console.json_line({key: _finite(value) for key, value in row.items()})
    else:
        console.result(_csv(table) if as_csv else _text(table))


def tabulate(schedule: "Schedule", count: int | None) -> list[Row]:
    """Return `count` evenly spaced rows of a schedule, all of them if None."""
    import torch

    steps = schedule.steps
    if steps is None and count is None:
        raise ConfigError("--rows all: this schedule is continuous; give a number of rows")
    length = steps or count or 1
    t = torch.arange(1, length + 1, dtype=torch.float64) / length
    if steps is None:
        t = torch.linspace(0, 1, length, dtype=torch.float64)
    with torch.no_grad():  # a learned schedule is a network
        sigma = schedule.sigma(t)
    alpha = schedule.alpha(sigma)
    abar = alpha**2
    beta = 1 - abar / torch.cat([torch.ones_like(abar[:1]), abar[:-1]])
    chosen = torch.linspace(0, length - 1, min(count or length, length)).round().long().tolist()
    return [
        {
            "t": i + 1 if steps else float(t[i]),
            "index": i if steps else None,
            "sigma": float(sigma[i]),
            "alpha": float(alpha[i]),
            "logsnr": float(-2 * sigma[i].log()),
            "beta": float(beta[i]) if steps else None,
            "abar": float(abar[i]),
        }
        for i in chosen
    ]


def _schedule(ctx: click.Context, model: str | None) -> "Schedule":
    """The schedule that is asked for; torch is imported when no setting can be wrong any more."""
    from ddpm_cli.files.checkpoints import find
    from ddpm_cli.files.checkpoints.header import read_header

    place = None if model is None else find.find(model)
    header = None if place is None else read_header(place.path)
    trained = Layer(place.name, header.config) if place and header else None
    settings = config.resolve(reading.layers(ctx, header=trained))
    from ddpm_cli.models import build

    if place and header and settings["schedule"] == header.config["schedule"]:
        return build.schedule_of(header, place.path)
    return build.schedule(settings)


def _row_count(text: str) -> int | None:
    if text == "all":
        return None
    if not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise ConfigError(f"--rows {text!r}: give a number from 1 to 999999999, or all")
    return int(text)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _csv(table: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(row.values() for row in table)
    return text.getvalue().rstrip("\n")


def _text(table: Sequence[Row]) -> str:
    cells = [["-" if value is None else f"{value:.6g}" for value in row.values()] for row in table]
    lines = [list(COLUMNS), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _plot(table: Sequence[Row], path: Path, force: bool) -> None:
    """Draw log-SNR, and native signal and noise, over time."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    from ddpm_cli.files import atomic

    if path.exists() and not force:
        raise Refusal(f"{path}: exists already", "--force replaces it")
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    times = [row["t"] for row in table]
    left.plot(times, [row["logsnr"] for row in table])
    left.set(xlabel="t", ylabel="log signal-to-noise ratio")
    right.plot(times, [row["alpha"] for row in table], label="signal: alpha")
    noise = [(row["alpha"] or 0) * (row["sigma"] or 0) for row in table]
    right.plot(times, noise, label="noise: alpha * sigma")
    right.set(xlabel="t")
    right.legend()
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.lstrip(".").lower() or "png")
    except ValueError:
        raise ConfigError(f"--plot {path}: unknown kind of picture; end it in .png") from None
    atomic.write(path, picture.getvalue(), replace=force)
