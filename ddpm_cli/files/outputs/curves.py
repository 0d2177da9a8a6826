"""Measured rows as a table of comma-separated values, or as the picture of a curve."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm_cli.errors import ConfigError, missing_extra
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.outputs.targets import Existing

Row = Mapping[str, Any]
PICTURES = (".png", ".svg", ".pdf")


def refuse(path: Path, option: str, suffixes: Sequence[str], force: bool) -> None:
    """Refuse a file that could not be written at the end, before any work is done."""
    targets.fields(str(path), (), option)
    if path.suffix not in suffixes:
        raise ConfigError(f"{option} {path}: unknown ending; use {' or '.join(suffixes)}")
    targets.refuse_existing(path, force, option)
    if path.suffix in PICTURES:
        figure()


def write(path: Path, rows: Sequence[Row], force: bool) -> None:
    """Write rows of equal keys, the first line naming them; what is None is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    _place(path, text.getvalue().encode(), force)


def plot(path: Path, rows: Sequence[Row], force: bool) -> None:
    """Draw distortion over rate, and both over time (Ho 2020, figure 5)."""
    canvas = figure()(figsize=(9, 3.2), layout="constrained")
    axes = canvas.subplots(1, 3)
    rate, distortion = ([row[key] for row in rows] for key in ("rate", "distortion"))
    steps = range(len(rows))
    axes[0].plot(rate, distortion)
    axes[0].set(xlabel="rate (bits/dim)", ylabel="distortion (RMSE of 0..255)")
    axes[1].plot(steps, distortion)
    axes[1].set(xlabel="reverse steps", ylabel="distortion (RMSE of 0..255)")
    axes[2].plot(steps, rate)
    axes[2].set(xlabel="reverse steps", ylabel="rate (bits/dim)")
    picture = io.BytesIO()
    canvas.savefig(picture, format="png")
    _place(path, picture.getvalue(), force)


def _place(path: Path, data: bytes, force: bool) -> None:
    targets.put(path, data, Existing(force))


def figure() -> Any:
    """The class of figures, if there is something to draw with."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    return Figure
