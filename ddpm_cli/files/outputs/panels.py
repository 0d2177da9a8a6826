"""Rows of panels with the same limits: clouds, arrows, fields and paths at each level."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from ddpm_cli.files.outputs import curves, plots
from ddpm_cli.files.outputs.plots import Box

SIDE = 1.4  # inches of a panel of a strip
HEIGHTS = (0.03, 0.1, 0.3, 0.6, 1.0)  # where a density changes its colour, of its highest point
LEARNED, TRUE = "black", "tab:red"


class Cell(Protocol):
    """What a panel shows."""

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw it within limits."""


class Row(NamedTuple):
    """Panels side by side, None where there is nothing to show; a single one takes all the row."""

    title: str
    cells: Sequence[Cell | None]


class Cloud(NamedTuple):
    """Points [N, 1 or 2], and words above them."""

    points: Tensor
    note: str = ""

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw a histogram, or points."""
        plots.draw(axes, self.points, limits)
        place = {"ha": "left", "va": "top", "transform": axes.transAxes}
        axes.text(0.03, 0.97, self.note, fontsize="x-small", **place)


class Ground(NamedTuple):
    """A density at the places [G, G, 2] of a grid, drawn below other things."""

    places: Tensor
    density: Tensor

    def draw(self, axes: Any) -> None:
        """Draw it in steps of blue."""
        shares = self.density / self.density.max()
        x, y = self.places.unbind(-1)
        axes.contourf(x.numpy(), y.numpy(), shares.numpy(), levels=HEIGHTS, cmap="Blues")


class Arrows(NamedTuple):
    """Arrows [M, 2] at the places [M, 2], as long as they are."""

    places: Tensor
    arrows: Tensor

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw the arrows around their places."""
        axes.quiver(*self.places.T.numpy(), *self.arrows.T.numpy(), angles="xy", pivot="mid")
        plots.frame(axes, limits)


class Field(NamedTuple):
    """A learned field [M, 2] at the places [M, 2], and the true one and its density if known."""

    places: Tensor
    learned: Tensor
    true: Tensor | None = None
    ground: Ground | None = None

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw both from the same places, as long as the roots of their lengths."""
        if self.ground is not None:
            self.ground.draw(axes)
        spacing = float((self.places[-1] - self.places[0]).max()) / (len(self.places) ** 0.5 - 1)
        longest = float(self.learned.norm(dim=1).max().clamp(min=1e-30))
        for field, colour in ((self.true, TRUE), (self.learned, LEARNED)):
            if field is None:
                continue
            length = field.norm(dim=1, keepdim=True).clamp(min=1e-30)
            arrows = field / length * (length / longest).sqrt() * 1.2 * spacing
            axes.quiver(
                *self.places.T.numpy(),
                *arrows.T.numpy(),
                color=colour,
                angles="xy",
                scale_units="xy",
                scale=1,
                width=0.014 if colour == TRUE else 0.008,
            )
        plots.frame(axes, limits)


class Slopes(NamedTuple):
    """A learned field [M] of numbers at the places [M], and the true one and its density."""

    places: Tensor
    learned: Tensor
    true: Tensor | None = None
    density: Tensor | None = None

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw curves, on the density as a share of its highest point."""
        places = self.places.numpy()
        most = float((self.learned if self.true is None else self.true).abs().max())
        if self.density is not None:
            height = 2 * self.density / self.density.max() - 1
            axes.fill_between(places, -most, most * height.numpy(), color="tab:blue", alpha=0.3)
        if self.true is not None:
            axes.plot(places, self.true.numpy(), linewidth=2, color=TRUE)
        axes.plot(places, self.learned.numpy(), linewidth=0.9, color=LEARNED)
        axes.axhline(0, linewidth=0.4, color="grey")
        axes.set(xlim=limits[0], ylim=(-1.05 * most, 1.05 * most))


class Paths(NamedTuple):
    """Ways [M, P, 2] of P points on a ground, each of a colour of its own."""

    ways: Tensor
    ground: Ground | None = None

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw each as a line with a dot at its end."""
        if self.ground is not None:
            self.ground.draw(axes)
        for number, way in enumerate(self.ways.unbind(1)):
            colour = f"C{number % plots.COLOURS}"
            axes.plot(*way.T.numpy(), linewidth=0.5, color=colour)
            axes.plot(*way[-1:].T.numpy(), ".", markersize=3, color=colour)
        plots.frame(axes, limits)


class Lines(NamedTuple):
    """Ways [M, P] of P numbers over times [M], in two colours by the side of their data [P].

    label: of the times; marks: the times that panels above show.
    """

    times: Tensor
    ways: Tensor
    data: Tensor
    label: str
    marks: Sequence[float] = ()

    def draw(self, axes: Any, limits: Box) -> None:
        """Draw a line each, and thin ones at the marks."""
        middle = sum(limits[0]) / 2
        for way, end in zip(self.ways.unbind(1), self.data.tolist(), strict=True):
            colour = "C0" if end < middle else "C1"
            axes.plot(self.times.numpy(), way.numpy(), linewidth=0.5, alpha=0.6, color=colour)
        for mark in self.marks:
            axes.axvline(mark, color="grey", linewidth=0.5, linestyle=":")
        axes.set(xlim=(float(self.times[0]), float(self.times[-1])), ylim=limits[0])
        axes.set_xlabel(self.label, fontsize="small")


def picture(rows: Sequence[Row], titles: Sequence[str], limits: Box, side: float = SIDE) -> Tensor:
    """Draw rows of panels below their titles as a uint8 picture [3, H, W]."""
    across = len(titles)
    size = (0.55 + side * across, 0.35 + side * len(rows))
    figure = curves.figure()(figsize=size, layout="constrained")
    grid = figure.add_gridspec(len(rows), across)
    for line, row in enumerate(rows):
        alone = len(row.cells) == 1 < across
        for column, cell in enumerate(row.cells):
            axes = figure.add_subplot(grid[line, :] if alone else grid[line, column])
            _draw(axes, cell, limits, is_first=column == 0, is_lowest=line == len(rows) - 1)
            if line == 0 and not alone:
                axes.set_title(titles[column], fontsize="small")
            if column == 0 and row.title:
                axes.set_ylabel(row.title, fontsize="small")
    return plots.rendered(figure)


def _draw(axes: Any, cell: Cell | None, limits: Box, *, is_first: bool, is_lowest: bool) -> None:
    """Draw a panel, with numbers at the outermost axes alone."""
    if cell is None:
        axes.axis("off")
        return
    cell.draw(axes, limits)
    axes.tick_params(labelsize="x-small")
    if isinstance(cell, Lines):
        return
    axes.locator_params(nbins=3)
    if not is_first:
        axes.tick_params(labelleft=False)
    if len(limits) == 1:  # heights of histograms differ
        axes.set_yticks([])
    elif not is_lowest:
        axes.tick_params(labelbottom=False)
