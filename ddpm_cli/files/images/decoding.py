"""Image files decoded in the scale of their pixels; what is lost on the way is said."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ddpm_cli import console
from ddpm_cli.files.images import pixels, scales
from ddpm_cli.files.images.facts import Facts
from ddpm_cli.files.images.opening import Readable
from ddpm_cli.files.images.scales import BYTES, Scale

# What does not come back in the file's own mode.
KINDS = {
    "1": "black and white of 1 bit",
    "P": "a palette",
    "PA": "a palette",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
}
NARROWED = "16 bits become 8, as only grey without transparency keeps them"
FILM = "several images are in the file, the first is taken"


class Ranges(NamedTuple):
    """By which scales pixels are read: the one asked for, else the model's own."""

    asked: Scale | None = None
    trained: Scale | None = None

    @classmethod
    def of(cls, asked: Sequence[int] | None, trained: Sequence[int] | None = None) -> "Ranges":
        """From low and high of each, if there are any."""
        return cls(scales.of(asked), scales.of(trained))

    def scale(self, known: Facts) -> Scale:
        """The scale of a file; 8 bits do not count in one of 16, and a model's is of its depth."""
        if self.asked and (known.is_deep or not self.asked.is_deep):
            return self.asked
        if self.trained and not known.written and known.is_deep == self.trained.is_deep:
            return self.trained
        return known.scale

    @property
    def wanted(self) -> Scale | None:
        """The scale that a file of its depth would be read by."""
        return self.asked or self.trained


OWN = Ranges()  # each file's own scale


class Picture(NamedTuple):
    """A decoded image of mode L, LA, RGB, RGBA or I;16, and the scale of its pixels."""

    image: Image.Image
    scale: Scale = BYTES


def decode(
    source: Readable, name: str, ranges: Ranges = OWN, *, comes_back: bool = False
) -> Picture:
    """Decode a file; pixels that its scale does not hold are refused.

    comes_back: what becomes of the image will be written, in its mode.
    """
    image, known = pixels.decoded(source, name=name)
    scale = ranges.scale(known)
    low, high = extremes(image)
    scales.refuse_outside(name, low, high, scale)
    if known.is_film:
        console.warn(f"{name}: {FILM}")
    if known.is_narrowed:
        console.warn(f"{name}: {NARROWED}")
    elif comes_back and known.mode in KINDS:
        console.say(f"{name}: {KINDS[known.mode]} comes back as {image.mode}")
    if ranges.wanted and ranges.wanted.is_deep and not known.is_deep:
        whose = "data.range" if ranges.asked else "the model's"
        console.say(f"{name}: 8 bits, read as {scale}, not as {whose} {ranges.wanted}")
    if known.is_deep and scale == known.scale and not (ranges.asked or known.written):
        _warn_of_few(name, low, high, scale)
    return Picture(image, scale)


def extremes(image: Image.Image) -> tuple[int, int]:
    """The least and the largest value of a decoded image, its opacity aside."""
    values = np.asarray(image)
    colours = values[..., :-1] if image.mode in ("LA", "RGBA") else values
    return int(colours.min()), int(colours.max())


def _warn_of_few(name: str, low: int, high: int, scale: Scale) -> None:
    if scales.is_few(low, high, scale):
        fix = f"{scales.fitting(low, high).setting} makes them black to white"
        console.warn(f"{name}: values {low} to {high}, under a quarter of {scale}; {fix}")
