"""What is in a set, row by row: sizes, modes, values, equal rows, and what cannot be read."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from ddpm_cli.data.array_set import ArraySet
from ddpm_cli.data.image_set import Data, ImageSet
from ddpm_cli.data.loading import Decoder, reason_of, threaded
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import pixels
from ddpm_cli.files.images.scales import BYTES, Scale

FLAT = 2 / 255  # of the range: between the least and the largest value of a near-constant image
PAIRS = 5  # of equal rows that are named
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
NAMES = {"P": "palette", "PA": "palette", "1": "1 bit"}


class Sight(NamedTuple):
    """What was seen of a row.

    size: width and height of an image; mode: of its pixels, as stored; channels: how many count;
    values: how many all have, or each; sums, squares: over each channel, of values 0 to 1 if of
    an image; low, high: the least and largest value; digest: of what it holds, whatever file it
    lies in.
    """

    size: tuple[int, int] | None
    mode: str
    values: int | np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    low: float
    high: float
    digest: bytes


class Moments:
    """Sums of the values of each channel over rows that have the same channels."""

    def __init__(self, channels: int) -> None:
        self.count: int | np.ndarray = 0
        self.sums, self.squares = np.zeros(channels), np.zeros(channels)

    def add(self, sight: Sight) -> None:
        """Count the values of a row."""
        self.count += sight.values
        self.sums += sight.sums
        self.squares += sight.squares


class Survey:
    """What was seen of all rows so far; places: where those are that repeat another."""

    def __init__(self) -> None:
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.modes: Counter[str] = Counter()
        self.moments: dict[int, Moments] = {}
        self.flat: list[str] = []
        self.bad: list[str] = []
        self.pairs: list[tuple[str, str]] = []
        self.repeats = self.leaks = self.looked = 0
        self._first: dict[bytes, tuple[int, int]] = {}

    def add(self, sight: Sight, part: int, row: int, place: Callable[[int, int], str]) -> None:
        """Count what was seen of a row of a part of the set; part 0 is the one to train on."""
        self.looked += 1
        self.modes[sight.mode] += 1
        if sight.size is not None:
            self.sizes[sight.size] += 1
        self.moments.setdefault(len(sight.sums), Moments(len(sight.sums))).add(sight)
        if sight.size is not None and sight.high - sight.low <= FLAT:
            self.flat.append(place(part, row))
        first = self._first.setdefault(sight.digest, (part, row))
        if first != (part, row):
            self.repeats += 1
            self.leaks += first[0] != part
            if len(self.pairs) < PAIRS:
                self.pairs.append((place(*first), place(part, row)))

    def spread(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel; grey counts in all three of colour."""
        wide = max(self.moments, default=0)
        total = Moments(wide)
        for channels, one in self.moments.items():
            if channels in (1, wide):
                total.count += one.count
                total.sums += one.sums
                total.squares += one.squares
        count = np.maximum(1, total.count)
        mean = total.sums / count
        deviation = np.sqrt(np.maximum(0, total.squares / count - mean**2))
        return mean.tolist(), deviation.tolist()


def survey(parts: Mapping[str, Data], limit: int | None, advance: Callable[[], None]) -> Survey:
    """Look at all rows of the parts of a set, or at `limit` of them that are evenly spread.

    advance: called for each row.
    """
    sets = list(parts.values())
    rows = [(part, row) for part, data in enumerate(sets) for row in range(len(data))]
    if limit is not None and limit < len(rows):
        rows = [rows[number * len(rows) // limit] for number in range(limit)]
    found, lookers = Survey(), [_looker(data, name) for name, data in parts.items()]
    found.bad += [reason for data in sets for reason in data.skipped]

    def place(part: int, row: int) -> str:
        return lookers[part].place(row)

    def look(number: int) -> Sight | str:
        part, row = rows[number]
        try:
            return lookers[part].look(row)
        except (Refusal, OSError) as error:
            return reason_of(place(part, row), error)

    for (part, row), sight in zip(rows, threaded(look, len(rows)), strict=True):
        if isinstance(sight, str):
            found.bad.append(sight)
        else:
            found.add(sight, part, row, place)
        advance()
    return found


class _Looker(NamedTuple):
    """How to look at a row of a set, and what to call it."""

    look: Callable[[int], Sight]
    place: Callable[[int], str]


def _looker(data: Data, part: str) -> _Looker:
    decoder = data.reader if isinstance(data, ImageSet) else None
    if isinstance(decoder, Decoder):
        files, names = decoder.files, decoder.names
        return _Looker(
            lambda row: _of_file(decoder, names[row]), lambda row: files.place(names[row])
        )
    if isinstance(data, ArraySet):
        return _Looker(lambda row: _of_values(data, row), lambda row: f"{part} {row}")
    return _Looker(lambda row: _of_pixels(data, row), lambda row: f"{part} {row}")


def _of_file(decoder: Decoder, name: str) -> Sight:
    """What is in an image file, before it is brought to a size and a mode."""
    place = decoder.files.place(name)
    with decoder.files.open(name) as stream:
        image, known = pixels.decoded(stream, name=place)
    scale = known.scale
    digest = _digest(image.mode, image.size, image.tobytes())
    mode = NAMES.get(known.mode, image.mode)
    mode = "16-bit grey" if image.mode == pixels.DEEP else mode
    mode = f"{mode} of 16 bits" if known.is_narrowed else mode
    if image.mode.endswith("A"):
        image = pixels.convert(image, image.mode[:-1])
    values = np.atleast_3d(np.asarray(image))
    return _seen(values, scale, image.size, mode, digest)


def _of_pixels(data: Data, row: int) -> Sight:
    """What is in a row of pixels."""
    image = data[torch.tensor([row])][0][0]
    if image.dtype != torch.uint8:
        image = pixels.to_uint8(image)
    values = image.permute(1, 2, 0).numpy()
    size = (values.shape[1], values.shape[0])
    mode = MODES.get(values.shape[2], f"{values.shape[2]} channels")
    digest = _digest(mode, size, values.tobytes())
    return _seen(values[..., :3], BYTES, size, mode, digest)


def _of_values(data: ArraySet, row: int) -> Sight:
    """What is in a row of numbers, in their own units; what is missing is left out."""
    numbers = torch.tensor([row])
    own = data.in_units(numbers)[0].flatten(1 if len(data.shape) > 1 else 0).numpy()
    own = own.reshape(len(own), -1)
    known = np.isfinite(own)
    there, digest = np.where(known, own, 0.0), _digest("", (), data[numbers][0].numpy().tobytes())
    sums, squares, count = there.sum(1), (there**2).sum(1), known.sum(1)
    low, high = (float(end(own[known], initial=0.0)) for end in (np.min, np.max))
    return Sight(None, "numbers", count, sums, squares, low, high, digest)


def _seen(
    values: np.ndarray, scale: Scale, size: tuple[int, int], mode: str, digest: bytes
) -> Sight:
    """Sums over pixels [H, W, C] of a scale, brought to 0 to 1."""
    flat = (values.reshape(-1, values.shape[2]).astype(np.float64) - scale.low) / (
        scale.high - scale.low
    )
    low, high = float(flat.min()), float(flat.max())
    return Sight(size, mode, len(flat), flat.sum(0), (flat**2).sum(0), low, high, digest)


def _digest(mode: str, size: tuple[int, ...], data: bytes) -> bytes:
    named = hashlib.blake2b(f"{mode} {size}".encode(), digest_size=16)
    named.update(data)
    return named.digest()
