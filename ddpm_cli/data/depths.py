"""By which scale the pixels of a set of image files are read, and what there is to say of it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from ddpm_cli.data.sources import Files
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import decoding, deep, pixels, scales
from ddpm_cli.files.images.facts import Facts
from ddpm_cli.files.images.pixels import DEEP, WHITE, Mode
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.settings.checks import pixel_range

Sizing = Literal["error", "resize", "crop"]  # what becomes of images of other sizes
SAMPLE = 16  # files that are looked at first


class Look(NamedTuple):
    """What was seen of a file: its header, and the least and largest value if it was decoded."""

    known: Facts
    low: int | None = None
    high: int | None = None


class Looks:
    """How many files of each kind were seen, and between what their values lie, by their depth."""

    def __init__(self) -> None:
        self.kinds: Counter[Facts] = Counter()
        self.extremes: dict[bool, tuple[Facts, int, int]] = {}

    def add(self, look: Look) -> None:
        """Count a file."""
        self.kinds[look.known] += 1
        self.widen(look)

    def widen(self, look: Look) -> None:
        """Take note of the values of a file."""
        known, low, high = look
        if low is not None and high is not None:
            _, least, most = self.extremes.get(known.is_deep, (known, low, high))
            self.extremes[known.is_deep] = known, min(low, least), max(high, most)

    def extend(self, files: Files, names: Sequence[str], reading: "Reading") -> None:
        """Decode some of the files for their values; what cannot be read is another's concern."""
        for name in sampled(names):
            try:
                with files.open(name) as stream:
                    image, known = pixels.decoded(stream, name=files.place(name))
                self.widen(reading.check(files.place(name), image, known))
            except scales.OutOfRange:
                raise
            except (Refusal, OSError):
                continue


class Reading(NamedTuple):
    """The mode and the scale of a set's pixels; is_chosen: by data.range."""

    mode: Mode
    scale: Scale = BYTES
    is_chosen: bool = False

    @property
    def bytes_each(self) -> int:
        """The bytes of a value: floats are as deep as any scale."""
        return 1 if self.scale == BYTES else 4

    @property
    def dtype(self) -> torch.dtype:
        """The type of the rows."""
        return torch.uint8 if self.scale == BYTES else torch.float32

    @property
    def range(self) -> tuple[int, int] | None:
        """What a checkpoint keeps of it."""
        return None if self.scale == BYTES else (self.scale.low, self.scale.high)

    def of(self, known: Facts) -> Scale:
        """The scale of a file, which is its own if it has fewer bits."""
        if self.is_chosen and (known.is_deep or not self.scale.is_deep):
            return self.scale
        return known.scale

    def row(self, image: Image.Image, scale: Scale, fit: Sizing, size: int) -> Tensor:
        """A decoded image of a scale as a row [C,h,w]: bytes, or floats in [-1, 1]."""
        are_bytes = self.scale == BYTES
        red, green, blue = WHITE if are_bytes else scale.colour(WHITE)
        behind = red, green, blue
        if are_bytes or image.mode != DEEP:
            image = pixels.convert(pixels.narrowed(image, scale), self.mode, behind)
        if fit != "error":
            image = pixels.fitted(image, (size, size), fit)
        if are_bytes:
            return pixels.from_pillow(image)
        return scale.values(deep.seen(image, self.mode, scale, behind))

    def check(self, place: str, image: Image.Image, known: Facts) -> Look:
        """Refuse a file whose values are outside of its scale, or whose scale is another."""
        scale = self.of(known)
        low, high = decoding.extremes(image)
        scales.refuse_outside(place, low, high, scale)
        mixes = known.is_deep or not self.scale.is_deep
        if self.scale != BYTES and scale != self.scale and mixes:
            what = f"{place}: says that its values are {scale}, others {self.scale}"
            raise scales.OutOfRange(what, f"choose one: {self.scale.setting}")
        return Look(known, low, high)


def settled(files: Files, names: Sequence[str], mode: Mode, asked: Sequence[int]) -> Reading:
    """How a set is read: as data.range says, else as the first file that has 16 bits of grey."""
    seen = list(_sampled(files, names))
    chosen = pixel_range(list(asked))
    deep_ones = [known for known in seen if known.is_deep]
    if chosen is None:
        best = [*(deep_ones if mode == "L" else ()), *seen][:1]
        scale = best[0].scale if best and mode != "RGBA" else BYTES
        return Reading(mode, BYTES if scale.is_deep and mode != "L" else scale)
    scale = Scale(*chosen)
    if scale != BYTES and mode == "RGBA":
        raise ConfigError(
            "data.range: not with opacity, which is 0 to 255; set data.mode=RGB or L"
        )
    if scale.is_deep and seen and not deep_ones:
        what = f"data.range: {scale} asked for, but the files have 8 bits or no grey, 0 to 255"
        raise ConfigError(f"{what}; leave it out")
    if scale.is_deep and mode != "L":
        what = f"data.range: {scale} asked for, but only grey has more than 8 bits"
        raise ConfigError(f"{what}; add --set data.mode=L")
    return Reading(mode, scale, is_chosen=True)


def _sampled(files: Files, names: Sequence[str]) -> Iterable[Facts]:
    """The headers of some of the files, those that can be read."""
    for name in sampled(names):
        try:
            with files.open(name) as stream:
                yield pixels.inspected(stream, name=files.place(name))[1]
        except (Refusal, OSError):
            continue


def sampled(names: Sequence[str]) -> Sequence[str]:
    """Some of the names, evenly spread, the first among them."""
    return names[:: max(1, len(names) // SAMPLE)][:SAMPLE]


def notes(looks: Looks, reading: Reading) -> tuple[str, ...]:
    """What is lost or surprising in the files of a set, in words."""
    deep_set, kinds = reading.scale.is_deep, looks.kinds

    def count(some: Iterable[Facts]) -> str:
        number = sum(kinds[known] for known in some)
        return f"{number} of {kinds.total()} files" if number else ""

    said = []
    if some := count(k for k in kinds if k.is_deep and not deep_set and not reading.is_chosen):
        fix = "; --set data.mode=L keeps them" if reading.mode != "L" else ", as others have"
        said.append(f"{some} have 16 bits of grey, which become 8{fix}")
    if some := count(k for k in kinds if k.is_narrowed):
        said.append(f"{some}: {decoding.NARROWED}")
    if some := count(k for k in kinds if deep_set and not k.is_deep):
        said.append(f"{some} have 8 bits, which are read as 0 to 255, not as {reading.scale}")
    if some := count(k for k in kinds if k.is_film):
        said.append(f"{some}: {decoding.FILM}")
    return (*said, *_few(looks, reading))


def _few(looks: Looks, reading: Reading) -> list[str]:
    """A word on values that use under a quarter of their scale, the deepest of them."""
    if reading.is_chosen or not looks.extremes:
        return []
    known, low, high = looks.extremes[max(looks.extremes)]
    scale = reading.of(known)
    if not scales.is_few(low, high, scale):
        return []
    what = f"the data have values {low} to {high}, under a quarter of {scale}"
    if low == high or reading.mode == "RGBA":
        return [what]
    grey = "--set data.mode=L " if known.is_deep and reading.mode != "L" else ""
    return [f"{what}; {grey}{scales.fitting(low, high).setting} makes them black to white"]
