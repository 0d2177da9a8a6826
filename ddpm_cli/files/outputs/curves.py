"""Measured rows as a table of comma-separated values, or as the picture of a curve."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

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


class Strip(NamedTuple):
    """Images [N, K, C, H, W] in [-1, 1] as they come in, at these places of a curve [K].

    size: numbers of an image, each of which takes the bits of the curve.
    """

    images: Tensor
    places: Sequence[int]
    size: int


def plot(path: Path, rows: Sequence[Row], strip: Strip, force: bool) -> None:
    """Draw distortion over rate, both over time, and images on the way (Ho 2020, figure 5)."""
    height = 9 * len(strip.images) / len(strip.places) * _ratio(strip)
    canvas = figure()(figsize=(9, 3.4 + height), layout="constrained")
    grid = canvas.add_gridspec(2, 3, height_ratios=(2.7, height + 0.4))
    axes = [canvas.add_subplot(grid[0, column]) for column in range(3)]
    _draw_strip(canvas.add_subplot(grid[1, :]), rows, strip)
    rate, distortion = ([row[key] for row in rows] for key in ("rate", "distortion"))
    steps = range(len(rows))
    axes[0].plot(rate, distortion)
    shown = [rows[place] for place in strip.places]
    axes[0].plot([row["rate"] for row in shown], [row["distortion"] for row in shown], "o")
    axes[0].set(xlabel="rate (bits/dim)", ylabel="distortion (RMSE of 0..255)")
    axes[1].plot(steps, distortion)
    axes[1].set(xlabel="reverse steps", ylabel="distortion (RMSE of 0..255)")
    axes[2].plot(steps, rate)
    axes[2].set(xlabel="reverse steps", ylabel="rate (bits/dim)")
    picture = io.BytesIO()
    canvas.savefig(picture, format="png")
    _place(path, picture.getvalue(), force)


def _ratio(strip: Strip) -> float:
    """Height of an image over its width."""
    return strip.images.shape[-2] / strip.images.shape[-1]


def _draw_strip(axes: Any, rows: Sequence[Row], strip: Strip) -> None:
    """Draw images in rows, below each column how many bits had come in."""
    count, across, _, high, wide = strip.images.shape
    pixels = (strip.images[:, :, :3].clamp(-1, 1) + 1) / 2
    page = pixels.permute(0, 3, 1, 4, 2).reshape(count * high, across * wide, -1)
    axes.imshow(page.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1, aspect="auto")
    told = [rows[place]["rate"] for place in strip.places]
    words = [f"{bits:.3f}\n{bits * strip.size:,.0f}" for bits in told]
    axes.set_xticks([(number + 0.5) * wide - 0.5 for number in range(across)], words)
    axes.set_yticks([])
    axes.set_xlabel("bits received, for each number and in all: what is predicted with them")


def _place(path: Path, data: bytes, force: bool) -> None:
    targets.put(path, data, Existing(force))


def figure() -> Any:
    """The class of figures, if there is something to draw with."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", "plot") from None
    return Figure
