"""States of walks as pictures: of images sheets, of points plots; a strip, or frames of a film."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.opening import PIXEL_LIMIT
from ddpm_cli.files.outputs import plots
from ddpm_cli.files.outputs.plots import Panel
from ddpm_cli.settings.layouts import USUAL, Layout

# What to use instead of a picture.
TRAJECTORY = "use .csv for samples, .npz or .safetensors for --trajectory"
Field = tuple[Tensor, Tensor]  # arrows [M, D] at places [M, D]: (places, arrows)


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

    def strip(
        self, states: Tensor, sigmas: Sequence[float], fields: Sequence[Field | None]
    ) -> Tensor:
        """A row of states for each image of states [K, N, ...]."""
        rows = pixels.to_uint8(states).transpose(0, 1).flatten(0, 1)
        return sheets.sheet(rows, Layout(len(states), self.layout.zoom))

    def film(self, states: Tensor, sigmas: Sequence[float]) -> list[Tensor]:
        """A sheet of all images for each of the K levels."""
        layout = self.layout._replace(labels=())
        return [sheets.sheet(pixels.to_uint8(state), layout) for state in states]


class Points(NamedTuple):
    """Walks of one or two numbers."""

    shape: tuple[int, ...]

    def refuse(self, path: Path, count: int, frames: int) -> None:
        """Refuse what has no picture."""
        if len(self.shape) > 1:
            what = "x".join(map(str, self.shape))
            raise ConfigError(f"{path}: no picture of samples of {what} values; {TRAJECTORY}")
        plots.refuse(path, count, self.shape, TRAJECTORY)

    def strip(
        self, states: Tensor, sigmas: Sequence[float], fields: Sequence[Field | None]
    ) -> Tensor:
        """A snapshot of the points states [K, N, D] at each level, and the drift below."""
        panels = [
            Panel(f"sigma {sigma:.3g}", points, *(field or ()))
            for points, sigma, field in zip(states, sigmas, fields, strict=True)
        ]
        return plots.strip(panels, plots.box(states.flatten(0, 1)))

    def film(self, states: Tensor, sigmas: Sequence[float]) -> list[Tensor]:
        """A plot of the points at each level."""
        box = plots.box(states.flatten(0, 1))
        return [
            plots.strip([Panel(f"sigma {sigma:.3g}", points)], box, size=4.0)
            for points, sigma in zip(states, sigmas, strict=True)
        ]


def of_data(info: DataInfo, layout: Layout = USUAL) -> Images | Points:
    """How walks of these data are drawn."""
    return Images(info.shape, layout) if info.is_image else Points(info.row)
