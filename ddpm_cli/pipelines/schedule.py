"""The noise levels of a schedule in a table or a picture, for `ddpm schedule`."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ddpm_cli import console
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.find import Place
from ddpm_cli.files.checkpoints.header import Header
from ddpm_cli.files.outputs import curves, targets
from ddpm_cli.models import build, saved
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Levels

# t: the papers' 1..T, or the time in [0, 1] of a continuous process. index: as stored, 0..T-1.
COLUMNS = ("t", "index", "sigma", "alpha", "logsnr", "beta", "abar")
Row = dict[str, float | None]
PLOTTED = 1000  # points of a curve


def run(request: Levels, config: Config, known: tuple[Place, Header] | None = None) -> None:
    """Show the schedule of a configuration, or of a model if it is its own."""
    table = tabulate(process(config, known), PLOTTED if request.plot is not None else request.rows)
    if request.plot is not None:
        _plot(table, request.plot, request.force)
        console.line(str(request.plot))
    else:
        shown(table, request)


def shown(table: Sequence[Row], request: Levels) -> None:
    """Print rows of equal keys as a request wants them."""
    if request.as_json:
        for row in table:
            console.json_line({key: _finite(value) for key, value in row.items()})
    else:
        console.result(_csv(table) if request.as_csv else _text(table))


def process(config: Config, known: tuple[Place, Header] | None) -> Schedule:
    """The schedule that is asked for; a learned one has its model's weights."""
    if known is not None:
        place, header = known
        if config["schedule"] == header.config["schedule"]:
            return saved.schedule_of(header, place.path)
    return build.schedule(config)


def tabulate(schedule: Schedule, count: int | None) -> list[Row]:
    """Return `count` evenly spaced rows of a schedule, all of them if None."""
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


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _csv(table: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table[0])
    writer.writerows(row.values() for row in table)
    return text.getvalue().rstrip("\n")


def _text(table: Sequence[Row]) -> str:
    cells = [["-" if value is None else f"{value:.6g}" for value in row.values()] for row in table]
    lines = [list(table[0]), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def _plot(table: Sequence[Row], path: Path, force: bool) -> None:
    """Draw log-SNR, and native signal and noise, over time."""
    figure = curves.figure()(figsize=(9, 3.5), layout="constrained")
    targets.refuse_existing(path, force, "--plot")
    left, right = figure.subplots(1, 2)
    times = [row["t"] for row in table]
    left.plot(times, [row["logsnr"] for row in table])
    left.set(xlabel="t", ylabel="log signal-to-noise ratio")
    right.plot(times, [row["alpha"] for row in table], label="signal: alpha")
    noise = [(row["alpha"] or 0) * (row["sigma"] or 0) for row in table]
    right.plot(times, noise, label="noise: alpha * sigma")
    right.set(xlabel="t")
    right.legend()
    write_plot(figure, path, force)


def write_plot(figure: Any, path: Path, force: bool) -> None:
    """Write a figure as the kind of picture that the name of its file ends in."""
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.lstrip(".").lower() or "png")
    except ValueError:
        raise ConfigError(f"--plot {path}: unknown kind of picture; end it in .png") from None
    targets.put(path, picture.getvalue(), targets.Existing(force))
