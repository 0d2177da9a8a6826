"""Frames that follow each other: a strip, a film, or a file each."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.captions import caption
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.opening import PIXEL_LIMIT
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.outputs import encoding, films, targets
from ddpm_cli.files.outputs.films import Timing
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import Record
from ddpm_cli.settings.layouts import USUAL, Layout

STDOUT = "-"


class Frames(NamedTuple):
    """Where frames go; see `open_frames`."""

    place: str
    force: bool
    timing: Timing | None = None
    layout: Layout = USUAL

    @property
    def is_folder(self) -> bool:
        """Whether each frame gets a file of its own."""
        return self.place != STDOUT and _is_folder(self.place)

    def write(
        self, values: Tensor, record: Record, scale: Scale = BYTES, places: Sequence[str] = ()
    ) -> list[Path]:
        """Write images [N,C,H,W] in [-1, 1] as pixels of a scale; return the files written.

        A film has 8 bits. places: what is said of where each lies between the ends.
        """
        frames = scale.pixels(values)
        own: list[dict[str, Any]] = [{"frame": number} for number in range(len(frames))]
        for entry, place in zip(own, places, strict=False):
            entry["place"] = place
        if self.is_folder:
            made = zip(own, frames, strict=True)
            return [p for each, frame in made for p in self._one(each, frame, record, scale)]
        path = Path(self.place)
        labels = self.layout.labels
        lines = [caption({**record, **each}, labels) for each in own if labels]
        if self.timing is not None:
            film = sheets.frames(pixels.to_uint8(values), self.layout, lines)
            data = films.encode(film, record, self.timing, path.suffix)
        else:
            layout = self.layout._replace(columns=self.layout.columns or len(frames))
            strip = sheets.sheet(frames, layout, lines, white=scale.high)
            data = encoding.encode(strip, path, record, scale)
        if self.place == STDOUT:
            console.binary(data)
            return []
        return targets.put(path, data, Existing(self.force))

    def _one(self, own: Record, frame: Tensor, record: Record, scale: Scale) -> list[Path]:
        path = named(self.place, own["frame"])
        data = encoding.encode(frame, path, {**record, **own}, scale)
        return targets.put(path, data, Existing(self.force))


def open_frames(
    place: str,
    count: int,
    shape: tuple[int, ...],
    *,
    force: bool,
    timing: Timing | None = None,
    layout: Layout = USUAL,
) -> Frames:
    """The output that `place` asks for, checked before any work is done.

    timing: of a film, x.gif or x.webp; without it x.png (.jpg, .webp) or "-" is a strip, a folder
    a PNG each. layout: of the strip, or of each frame of a film.
    """
    path, frames = Path(place), Frames(place, force, timing, layout)
    if place == STDOUT:
        console.refuse_binary_terminal()
    elif frames.is_folder:
        layout.refuse_idle(place)
        targets.refuse_unwritable(path, count * targets.LEAST)
        for number in range(count):
            targets.refuse_in_the_way(named(place, number), force)
    elif timing is None and not encoding.is_picture(path):
        endings = ", ".join((*encoding.SUFFIXES, ".gif"))
        raise ConfigError(f"-o {place}: unknown ending; use {endings} or a folder")
    else:
        targets.refuse_existing(path, force)
        if timing is None:
            encoding.announce(path)
    if timing is not None:
        layout.refuse_idle(place, ("zoom", "labels"))
    if not frames.is_folder and count * math.prod(shape[1:]) * layout.zoom**2 > PIXEL_LIMIT:
        fix = "ask for fewer, or give a folder"
        raise Refusal(f"{place}: {count} frames are too many for one picture", fix)
    return frames


def named(folder: str, number: int) -> Path:
    """The file of a frame, whose names sort by number."""
    return Path(folder) / f"{number:04d}.png"


def _is_folder(place: str) -> bool:
    return place.endswith("/") or Path(place).is_dir() or not Path(place).suffix
