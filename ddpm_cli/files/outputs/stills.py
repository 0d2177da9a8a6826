"""States of walks as pictures: of images sheets, of points plots; a strip, or frames of a film."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.opening import PIXEL_LIMIT
from ddpm_cli.files.outputs import panels, plots
from ddpm_cli.files.outputs.fields import View
from ddpm_cli.files.outputs.panels import Cell, Cloud, Lines, Paths, Row
from ddpm_cli.files.outputs.plots import Box
from ddpm_cli.settings import showing
from ddpm_cli.settings.layouts import USUAL, Layout

# What to use instead of a picture.
TRAJECTORY = "use .csv for samples, .npz or .safetensors for --trajectory"
PATHS = 40  # walks whose whole way is drawn


class Story(NamedTuple):
    """What pictures of walks are made of.

    show: the rows; states: of each kind among them [K, N, ...] at the levels sigmas [K], the
    places `chosen` of all states of the walk; times: of all of them, if no level comes again;
    views: of the plane at each level; paths: all states of a few walks [moves + 1, P, ...].
    """

    show: tuple[str, ...]
    states: Mapping[str, Tensor]
    sigmas: Sequence[float]
    chosen: Sequence[int]
    times: Tensor | None = None
    views: Sequence[View | None] = ()
    paths: Tensor | None = None


class Images(NamedTuple):
    """Walks of images of this shape; layout: of a film, its zoom of a strip, too."""

    shape: tuple[int, ...]
    layout: Layout = USUAL

    def refuse(self, path: Path, count: int, frames: int) -> None:
        """Refuse what has no picture; frames: how many stand side by side."""
        each = math.prod(self.shape[1:]) * self.layout.zoom**2
        if count * each * frames > PIXEL_LIMIT:
            fix = "ask for fewer, or use .npz or .safetensors"
            raise Refusal(f"{path}: {count} images are too many for a picture", fix)

    def strip(self, story: Story) -> Tensor:
        """Rows of each image below their levels, a kind of states each."""
        kinds = [bytes_of(story.states[kind]) for kind in story.show]
        rows = [states[:, row] for row in range(kinds[0].shape[1]) for states in kinds]
        titles = [_shown(sigma) for sigma in story.sigmas]
        names = story.show if len(story.show) > 1 else ()
        return strip(rows, titles, names, self.layout.zoom, corner="sigma")

    def film(self, story: Story) -> list[Tensor]:
        """A sheet of all images for each of the K levels."""
        layout = self.layout._replace(labels=())
        return [
            sheets.sheet(pixels.to_uint8(state), layout) for state in story.states[story.show[0]]
        ]


class Points(NamedTuple):
    """Walks of one or two numbers."""

    shape: tuple[int, ...]

    def refuse(self, path: Path, count: int, frames: int) -> None:
        """Refuse what has no picture."""
        if len(self.shape) > 1:
            what = "x".join(map(str, self.shape))
            raise ConfigError(f"{path}: no picture of samples of {what} values; {TRAJECTORY}")
        plots.refuse(path, count, self.shape, TRAJECTORY)

    def strip(self, story: Story) -> Tensor:
        """A panel of each row at each level."""
        every = [*story.states.values(), *([] if story.paths is None else [story.paths])]
        limits = plots.box(torch.cat([states.flatten(0, 1) for states in every]))
        rows = [_row(kind, story, limits) for kind in story.show]
        return panels.picture(rows, _titles(story), limits)

    def film(self, story: Story) -> list[Tensor]:
        """A plot of the points at each level."""
        states = story.states[story.show[0]]
        limits = plots.box(states.flatten(0, 1))
        return [
            panels.picture([Row("", [Cloud(points)])], [title], limits, side=4.0)
            for points, title in zip(states, _titles(story), strict=True)
        ]


def of_data(info: DataInfo, layout: Layout = USUAL) -> Images | Points:
    """How walks of these data are drawn."""
    return Images(info.shape, layout) if info.is_image else Points(info.row)


def seen(x: Tensor, sigma: Tensor, schedule: Schedule, info: DataInfo) -> Tensor:
    """A state as the network sees it, in the units of the data, of images of no more deviation.

    Where the process explodes, an image would be black and white alone.
    """
    native = schedule.native(x, sigma)
    if info.is_image:
        native = native / max(1.0, float(schedule.alpha(sigma) * (1 + sigma**2).sqrt()))
    return info.restore(native)


def bytes_of(states: Tensor) -> Tensor:
    """Images [K, N, C, H, W] as pixels."""
    return pixels.to_uint8(states.flatten(0, 1)).reshape(states.shape)


def strip(
    rows: Sequence[Tensor],
    titles: Sequence[str],
    names: Sequence[str] = (),
    zoom: int = 1,
    corner: str = "",
    place: str = "--trajectory",
) -> Tensor:
    """Rows of images [K, C, H, W] below the titles of their columns, named in turn."""
    named = [names[number % len(names)] for number in range(len(rows))] if names else ()
    shape = tuple(rows[0].shape[1:])
    grid = sheets.Grid(shape, len(rows), len(titles), zoom, row_titles=named)
    grid = grid._replace(column_titles=titles, corner_title=corner)
    grid.refuse_large(place)
    page = sheets.Page(grid, rows[0].dtype)
    for line, images in enumerate(rows):
        for column, image in enumerate(images):
            page.put(line, column, image)
    return page.pixels


def _shown(sigma: float) -> str:
    """A level in a few letters."""
    return f"{sigma:.0f}" if sigma >= 100 else f"{sigma:.2g}"


def _titles(story: Story) -> list[str]:
    """The level of each panel, or its move where there is but one level."""
    if len({*story.sigmas} - {0.0}) > 1:
        return [f"sigma {_shown(sigma)}" for sigma in story.sigmas]
    return [f"move {place}" for place in story.chosen]


def _row(kind: str, story: Story, limits: Box) -> Row:
    """The panels of a kind."""
    if kind in story.states:
        points, notes = story.states[kind], [""] * len(story.sigmas)
        if kind == showing.WALK:
            notes = _shares(points, story.views)
        clouds = [Cloud(*each) for each in zip(points, notes, strict=True)]
        return Row("predicted x0" if kind == showing.X0 else kind, clouds)
    if kind == showing.DRIFT:
        return Row(kind, [view and view.drift() for view in story.views])
    if kind == showing.SCORE:
        is_known = any(view is not None and view.law is not None for view in story.views)
        fields = [view and view.field(limits) for view in story.views]
        return Row("score (true: red)" if is_known else kind, fields)
    return _paths(story, limits)


def _shares(states: Tensor, views: Sequence[View | None]) -> list[str]:
    """What share of points [K, N, D] is nearest to the first of two components of a known law."""
    notes, view = [], None
    for number, points in enumerate(states):
        view = (views[number] if views else None) or view
        law = None if view is None else view.law
        if view is None or law is None or len(law.names) != 2:
            notes.append("")
            continue
        share = view.share(points, is_end=views[number] is None)
        notes.append(f"{law.names[0]} {share:.0%}, data {float(law.weights[0]):.0%}")
    return notes


def _paths(story: Story, limits: Box) -> Row:
    """The ways between the panels, or of numbers all the way."""
    ways = story.paths
    if ways is None:
        raise ValueError("no ways were kept")
    if ways.shape[-1] == 1:
        label, times = "t", story.times
        if times is None:
            label, times = "move", torch.arange(len(ways), dtype=torch.float64)
        marks = times[list(story.chosen)].tolist()
        return Row(showing.PATHS, [Lines(times, ways[..., 0], ways[-1, :, 0], label, marks)])
    cells: list[Cell | None] = []
    for number, place in enumerate(story.chosen):
        before = story.chosen[number - 1] if number else place
        view = story.views[number] or story.views[number - 1]
        cells.append(Paths(ways[before : place + 1], view.ground(limits) if view else None))
    return Row(showing.PATHS, cells)
