"""Frames that follow each other: a strip, a film, or a file each."""

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.captions import caption
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.opening import PIXEL_LIMIT
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.outputs import encoding, targets
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import Record
from ddpm_cli.settings.layouts import USUAL, Layout

SPEED = 60  # milliseconds a frame of a film
HOLD = 1500  # milliseconds that its last frame stays
STDOUT = "-"


def encode_gif(frames: Sequence[Tensor], record: Record, *, speed: int = SPEED) -> bytes:
    """A GIF of frames uint8 [C,H,W] that stays at its end for a while and starts again."""
    pictures = [pixels.to_pillow(frame) for frame in frames]
    first, *rest = [p if p.mode == "L" else p.convert("RGB") for p in pictures]
    buffer = io.BytesIO()
    first.save(
        buffer,
        "GIF",
        save_all=True,
        append_images=rest,
        duration=[speed] * len(rest) + [HOLD],
        loop=0,
        comment=json.dumps(dict(record), sort_keys=True).encode(),
    )
    return buffer.getvalue()


class Frames(NamedTuple):
    """Where frames go; see `open_frames`."""

    place: str
    force: bool
    speed: int
    layout: Layout = USUAL

    @property
    def is_folder(self) -> bool:
        """Whether each frame gets a file of its own."""
        return self.place != STDOUT and _is_folder(self.place)

    def write(self, values: Tensor, record: Record, scale: Scale = BYTES) -> list[Path]:
        """Write images [N,C,H,W] in [-1, 1] as pixels of a scale; return the files written.

        A film has 8 bits.
        """
        frames = scale.pixels(values)
        if self.is_folder:
            return [
                p for n, frame in enumerate(frames) for p in self._one(n, frame, record, scale)
            ]
        path = Path(self.place)
        labels = self.layout.labels
        lines = [caption({**record, "frame": n}, labels) for n in range(len(frames)) if labels]
        if path.suffix == ".gif":
            film = [
                sheets.drawn(frame[None], self.layout, lines[n : n + 1])
                for n, frame in enumerate(pixels.to_uint8(values))
            ]
            data = encode_gif(film, record, speed=self.speed)
        else:
            layout = self.layout._replace(columns=self.layout.columns or len(frames))
            strip = sheets.sheet(frames, layout, lines, white=scale.high)
            data = encoding.encode(strip, path, record, scale)
        if self.place == STDOUT:
            console.binary(data)
            return []
        return targets.put(path, data, Existing(self.force))

    def _one(self, number: int, frame: Tensor, record: Record, scale: Scale) -> list[Path]:
        path = named(self.place, number)
        data = encoding.encode(frame, path, {**record, "frame": number}, scale)
        return targets.put(path, data, Existing(self.force))


def open_frames(
    place: str,
    count: int,
    shape: tuple[int, ...],
    *,
    force: bool,
    speed: int,
    layout: Layout = USUAL,
) -> Frames:
    """The output that `place` asks for, checked before any work is done.

    x.png (.jpg, .webp) or "-" is a strip, x.gif a film of `speed` milliseconds a frame, a folder
    a PNG each. layout: of the strip, or of each frame of a film.
    """
    path, frames = Path(place), Frames(place, force, speed, layout)
    if place == STDOUT:
        console.refuse_binary_terminal()
    elif frames.is_folder:
        layout.refuse_idle(place)
        targets.refuse_unwritable(path, count * targets.LEAST)
        for number in range(count):
            targets.refuse_existing(named(place, number), force)
    elif path.suffix != ".gif" and not encoding.is_picture(path):
        endings = ", ".join((*encoding.SUFFIXES, ".gif"))
        raise ConfigError(f"-o {place}: unknown ending; use {endings} or a folder")
    else:
        targets.refuse_existing(path, force)
        encoding.announce(path)
    if path.suffix == ".gif":
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
