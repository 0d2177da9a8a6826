"""Pictures of data that are no images: points, histograms, and curves."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.outputs import curves

POINT_LIMIT = 10**6
PANEL_LIMIT = 64  # signals in a picture
Box = list[tuple[float, float]]  # the limits of each axis
COLOURS = 10  # classes that are told apart


def is_drawn(shape: tuple[int, ...]) -> bool:
    """Whether samples of a shape have a picture: one or two numbers, or signals [C, L]."""
    return len(shape) == 2 or (len(shape) == 1 and shape[0] <= 2)


def refuse(
    path: Path, count: int, shape: tuple[int, ...], fix: str = "use .csv, .npy or .safetensors"
) -> None:
    """Refuse what has no picture, before any work is done; fix: what to use instead."""
    if not is_drawn(shape):
        what = "x".join(map(str, shape))
        raise ConfigError(f"{path}: no picture of samples of {what} values; {fix}")
    if len(shape) == 2 and count > PANEL_LIMIT:
        fix = "ask for fewer, or use .npy"
        raise Refusal(f"{path}: {count} signals are too many to plot (at most {PANEL_LIMIT})", fix)
    if count > POINT_LIMIT:
        fix = "ask for fewer, or use .npy"
        raise Refusal(f"{path}: {count} points are too many to plot (at most {POINT_LIMIT})", fix)
    curves.figure()


def available() -> bool:
    """Whether there is something to draw with."""
    try:
        curves.figure()
    except Refusal:
        return False
    return True


def cloud(points: Tensor, classes: Sequence[str] = ()) -> Tensor:
    """Draw samples [N, 1 or 2] as a uint8 picture [3, H, W], coloured by class."""
    if points.ndim == 3:
        return signals(points, classes)
    figure = curves.figure()(figsize=(5, 5 if points.shape[1] == 2 else 3.5), layout="constrained")
    axes = figure.subplots()
    names = sorted(set(classes))
    if not 1 < len(names) <= COLOURS:
        draw(axes, points, box(points))
        return rendered(figure)
    labels = np.array(classes)
    for name in names:
        draw(axes, points[torch.from_numpy(labels == name)], box(points), name)
    axes.legend(fontsize="small")
    return rendered(figure)


def signals(values: Tensor, classes: Sequence[str] = ()) -> Tensor:
    """Draw signals [N, C, L] as a uint8 picture [3, H, W]: a panel each, a curve a channel."""
    shown = values[:PANEL_LIMIT].double().numpy()
    across = math.ceil(math.sqrt(len(shown)))
    down = -(-len(shown) // across)
    figure = curves.figure()(figsize=(1 + 2.4 * across, 0.6 + 1.4 * down), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flatten()
    for axes, one, name in zip(grid, shown, [*classes] or [""] * len(shown), strict=False):
        axes.plot(one.T, linewidth=1)
        axes.set_title(name, fontsize="small")
    for axes in grid[len(shown) :]:
        axes.axis("off")
    return rendered(figure)


def draw(axes: Any, points: Tensor, limits: Box, name: str = "") -> None:
    """Draw a histogram of [N, 1] or the points of [N, 2] within limits."""
    values = points.double().numpy()
    if values.shape[1] == 1:
        axes.hist(values[:, 0], bins=100, range=limits[0], alpha=0.7, label=name or None)
        axes.set_xlim(limits[0])
        return
    area = max(0.2, min(8.0, 4000 / max(1, len(values))))
    axes.scatter(*values.T, s=area, alpha=0.6, linewidths=0, label=name or None)
    frame(axes, limits)


def frame(axes: Any, limits: Box) -> None:
    """Set the limits of a plane, whose axes have one scale."""
    axes.set_xlim(limits[0])
    axes.set_ylim(limits[1])
    axes.set_aspect("equal")


def box(points: Tensor) -> Box:
    """Limits for each axis with a margin; a few strays do not shrink the picture."""
    ranks = torch.tensor([0.001, 0.999], dtype=torch.float64)
    low, high = np.quantile(points.double().numpy(), ranks.numpy(), axis=0)
    margin = 0.08 * np.maximum(high - low, 1e-6)
    if len(low) == 2:  # equal scales: the wider axis sets the size of both
        margin += (np.max(high - low) - (high - low)) / 2
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


def rendered(figure: Any) -> Tensor:
    """Render a figure without the clock, version and fonts that its own PNG would carry."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.asarray(canvas.buffer_rgba())[:, :, :3]
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
