"""Turn image files into an ImageSet, after a check of every file: decoded, or by its header."""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.image_set import ImageSet
from ddpm_cli.data.sources import Files
from ddpm_cli.data.splits import Labels, Split, arrange
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images.pixels import Mode, fitted, from_pillow, measure, read_pillow

Sizing = Literal["error", "resize", "crop"]  # what becomes of images of other sizes
Size = tuple[int, int]  # width, height
CHANNELS: dict[Mode, int] = {"L": 1, "RGB": 3, "RGBA": 4}
LARGEST = 4096  # squared, the pixel limit of an image file
NAMED = 5  # how many bad files a message lists
BLOCK = 4096  # files that wait for a thread at a time
SKIP = "add --set data.skip_corrupt=true"


class Wish(NamedTuple):
    """What the files shall become: the knobs of the components `folder` and `archive`."""

    size: int
    mode: Mode
    fit: Sizing
    labels: Labels
    holdout: float
    skip_corrupt: bool
    memory: int


class Unreadable(Refusal):
    """A file that turned out to be bad while training."""


class Decoder:
    """Decodes the image files of a set, one by one."""

    def __init__(self, files: Files, names: Sequence[str], size: Size, wish: Wish) -> None:
        """Keep what it takes to decode `names`, which are known to have this size."""
        self.files, self.names, self.size, self.wish = files, names, size, wish

    def __call__(self, index: int) -> tuple[Tensor, int]:
        """Decode image `index`, or with skip_corrupt the next one that can be decoded."""
        for number in (*range(index, len(self.names)), *range(index)):
            try:
                return self._decode(self.names[number]), number
            except (Refusal, OSError) as error:
                if not self.wish.skip_corrupt:
                    reason = _reason(self.files.place(self.names[number]), error)
                    raise Unreadable(*reason.splitlines(), f"Remove it, or {SKIP}.") from error
        raise Unreadable(f"{self.files.root}: no readable image is left")

    def _decode(self, name: str) -> Tensor:
        image = decode(self.files, name, self.wish)
        if _size_of(image) != self.size:
            raise Refusal(f"{self.files.place(name)}: {_shown(_size_of(image))} pixels now")
        return image


def decode(files: Files, name: str, wish: Wish) -> Tensor:
    """Decode one file to uint8 [C,H,W], of the size asked for or else of its own."""
    enough = 0 if wish.fit == "error" else 2 * wish.size
    with files.open(name) as stream:
        image = read_pillow(stream, wish.mode, name=files.place(name), enough=enough)
    size = (wish.size, wish.size)
    return from_pillow(image if wish.fit == "error" else fitted(image, size, wish.fit))


def file_set(files: Files, split: Split, wish: Wish) -> ImageSet:
    """Make the set of one split, decoded at once if that takes at most wish.memory MiB."""
    _check(wish)
    names, labels, classes = arrange(files, split, wish.holdout, wish.labels)
    size = (wish.size, wish.size) if wish.size else _first_size(files, names)
    shape = (CHANNELS[wish.mode], size[1], size[0])
    bulk = len(names) * shape[0] * shape[1] * shape[2]
    pixels = torch.empty(len(names), *shape, dtype=torch.uint8) if _fits(bulk, wish) else None
    sizes, bad = _survey(files, names, lambda index: _visit(files, names, index, wish, pixels))
    if bad and not (wish.skip_corrupt and sizes):
        raise _refused(list(bad.values()), len(names))
    _refuse_sizes(sizes, size, [files.place(name) for name in names], wish)
    kept = torch.tensor(list(sizes))
    numbers = torch.tensor(labels)[kept] if classes else None
    skipped = tuple(bad.values())
    if pixels is not None:
        pixels = pixels[kept] if bad else pixels
        return ImageSet(pixels, shape, numbers, classes, skipped=skipped)
    decoder = Decoder(files, [names[index] for index in sizes], size, wish)
    return ImageSet(decoder, shape, numbers, classes, count=len(sizes), skipped=skipped)


def _check(wish: Wish) -> None:
    if wish.size > LARGEST:
        raise ConfigError(f"data.size: {wish.size} is too large; at most {LARGEST}")
    if wish.fit != "error" and not wish.size:
        raise ConfigError(f"data.fit: {wish.fit} needs a size; add --set data.size=64")


def _fits(bulk: int, wish: Wish) -> bool:
    return bulk <= wish.memory * 2**20


def _first_size(files: Files, names: Sequence[str]) -> Size:
    """Give the size of the first image that has one."""
    bad = []
    for name in names:
        try:
            return _measure(files, name)
        except (Refusal, OSError) as error:
            bad.append(_reason(files.place(name), error))
    raise _refused(bad, len(names))


def _measure(files: Files, name: str) -> Size:
    with files.open(name) as stream:
        width, height, _ = measure(stream, name=files.place(name))
    return width, height


def _visit(
    files: Files, names: Sequence[str], index: int, wish: Wish, pixels: Tensor | None
) -> Size:
    """Check one file and give the size of its image, which goes into pixels[index] if wanted."""
    if pixels is None:
        size = _measure(files, names[index])
        return size if wish.fit == "error" else (wish.size, wish.size)
    image = decode(files, names[index], wish)
    if image.shape == pixels.shape[1:]:
        pixels[index] = image
    return _size_of(image)


def _survey(
    files: Files, names: Sequence[str], visit: Callable[[int], Size]
) -> tuple[dict[int, Size], dict[int, str]]:
    """Visit all files; give the sizes found and why the others failed, by position."""

    def attempt(index: int) -> Size | str:
        try:
            return visit(index)
        except (Refusal, OSError) as error:
            return _reason(files.place(names[index]), error)

    sizes: dict[int, Size] = {}
    bad: dict[int, str] = {}
    for index, outcome in enumerate(_threaded(attempt, len(names))):
        if isinstance(outcome, str):
            bad[index] = outcome
        else:
            sizes[index] = outcome
    return sizes, bad


def _threaded(attempt: Callable[[int], Size | str], count: int) -> Iterator[Size | str]:
    """Call attempt for 0..count-1 in a few threads: decoders release the interpreter."""
    # the threads change the warning filters in any order; this restores them at last
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, BLOCK):
            yield from pool.map(attempt, range(start, min(start + BLOCK, count)))


def _reason(place: str, error: Refusal | OSError) -> str:
    if isinstance(error, Refusal):
        return error.message
    return f"{place}: {error.strerror or error}"


def _refused(bad: list[str], count: int) -> Refusal:
    """List the bad files with what is wrong with each, the first in the first line.

    Where all are bad, most often for one reason, it and the way out are said once.
    """
    first, *hints = bad[0].splitlines()
    if len(bad) == count:
        rest = f"none of the {count} files can be read{_others(bad)}"
        return Refusal(first, rest, *_joined(hints))
    rest = f"{len(bad)} of {count} files are unreadable"
    if len(bad) > 1:
        others = [problem.splitlines()[0] for problem in bad[1:NAMED]]
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        rest += ", also " + "; ".join(others) + more
    return Refusal(first, rest, f"Remove what is unreadable, or {SKIP}.")


def _others(bad: list[str]) -> str:
    """The first file of each other kind of fault than the first one's."""
    faults: dict[str, str] = {}
    for line in (problem.splitlines()[0] for problem in bad):
        faults.setdefault(line.rpartition(": ")[2], line)
    later = [*faults.values()][1:NAMED]
    return f", also {'; '.join(later)}" if later else ""


def _joined(hints: Sequence[str]) -> list[str]:
    return [" ".join(hints)] if hints else []


def _refuse_sizes(sizes: dict[int, Size], size: Size, places: list[str], wish: Wish) -> None:
    """Refuse images of another size than the set's, counting each size found."""
    other = [index for index, seen in sizes.items() if seen != size]
    if not other:
        return
    counts = Counter(sizes.values()).most_common(NAMED)
    listed = ", ".join(f"{count} of {_shown(seen)}" for seen, count in counts)
    what = f"{places[other[0]]}: {_shown(sizes[other[0]])} pixels, expected {_shown(size)}"
    usual = wish.size or min(counts[0][0])
    fix = f"Bring all to one size: --set data.size={usual} --set data.fit=crop"
    raise Refusal(what, f"The images differ: {listed}.", fix)


def _size_of(image: Tensor) -> Size:
    return image.shape[2], image.shape[1]


def _shown(size: Size) -> str:
    return f"{size[0]}x{size[1]}"
