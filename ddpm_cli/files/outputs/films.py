"""Films: frames that follow each other in one file, a GIF or a WebP, each for its time."""

import io
import json
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import lossy, pixels
from ddpm_cli.files.records import Record

SUFFIXES = (".gif", ".webp")
SPEED = 60  # milliseconds a frame
HOLD = 1500  # milliseconds that the last frame stays


class Timing(NamedTuple):
    """Milliseconds a frame, and how long each of these frames stays: by default the last one."""

    speed: int = SPEED
    hold: int = HOLD
    held: Sequence[int] = (-1,)

    def durations(self, count: int) -> list[int]:
        """Milliseconds of each of so many frames."""
        times = [self.speed] * count
        for number in self.held:
            times[number] = self.hold
        return times


USUAL = Timing()


def encode(
    frames: Sequence[Tensor], record: Record, timing: Timing = USUAL, suffix: str = ".gif"
) -> bytes:
    """A film of frames uint8 [C,H,W] that starts again, by the ending of a file name.

    A WebP has the pixels as they are, a GIF 256 colours; both carry the record.
    """
    pictures = [pixels.to_pillow(frame) for frame in frames]
    if suffix == ".gif":
        pictures = [p if p.mode == "L" else p.convert("RGB") for p in pictures]
    else:
        pictures = [p if p.mode in ("RGB", "RGBA") else p.convert("RGB") for p in pictures]
        _refuse_large(pictures[0].size)
    first, *rest = pictures
    how = {"save_all": True, "append_images": rest, "loop": 0}
    buffer, durations = io.BytesIO(), timing.durations(len(pictures))
    if suffix == ".gif":
        comment = json.dumps(dict(record), sort_keys=True).encode()
        first.save(buffer, "GIF", duration=durations, comment=comment, **how)
    else:
        kept = {"lossless": True, "exif": lossy.exif(record)}
        first.save(buffer, "WEBP", duration=durations, **kept, **how)
    return buffer.getvalue()


def _refuse_large(size: tuple[int, int]) -> None:
    """Refuse frames that no WebP holds."""
    most = lossy.SIDES["WEBP"]
    if max(size) > most:
        what = f"the result: {size[0]}x{size[1]} pixels; a side of a WebP has {most} at most"
        raise Refusal(what, "use .gif, or a lower --zoom")
