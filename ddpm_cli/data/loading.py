"""Turn image files into an ImageSet, after a check of every file: decoded, or by its header."""

import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from ddpm_cli.data import depths, told_values, value_files
from ddpm_cli.data.beside import CHANNELS, Beside
from ddpm_cli.data.depths import Look, Looks, Reading, Sizing
from ddpm_cli.data.image_set import ImageSet, Texts
from ddpm_cli.data.own_classes import Told
from ddpm_cli.data.sources import Files
from ddpm_cli.data.splits import Labels, Split, arrange
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.files.images.facts import Facts
from ddpm_cli.files.images.pixels import Mode, decoded, inspected
from ddpm_cli.files.images.scales import OutOfRange

Size = tuple[int, int]  # width, height
LARGEST = 4096  # squared, the pixel limit of an image file
NAMED = 5  # how many bad files a message lists
BLOCK = 4096  # files that wait for a thread at a time
SKIP = "add --set data.skip_corrupt=true"


_Outcome = TypeVar("_Outcome")


class Wish(NamedTuple):
    """What the files shall become: the knobs of the components `folder` and `archive`."""

    size: int
    mode: Mode
    range: Sequence[int]
    fit: Sizing
    labels: Labels
    holdout: float
    skip_corrupt: bool
    memory: int
    values: Sequence[str] = ()
    values_file: str = ""


class Unreadable(Refusal):
    """A file that turned out to be bad while training."""


class Decoder:
    """Decodes the image files of a set, one by one."""

    def __init__(
        self, files: Files, names: Sequence[str], size: Size, wish: Wish, reading: Reading
    ) -> None:
        """Keep what it takes to decode `names`, which are known to have this size."""
        self.files, self.names, self.size, self.wish = files, names, size, wish
        self.reading = reading

    def __call__(self, index: int) -> tuple[Tensor, int]:
        """Decode image `index`, or with skip_corrupt the next one that can be decoded."""
        for number in (*range(index, len(self.names)), *range(index)):
            try:
                return self._decode(self.names[number]), number
            except OutOfRange as error:  # no damage: it must be said what the values mean
                raise Unreadable(*error.message.splitlines()) from error
            except (Refusal, OSError) as error:
                if not self.wish.skip_corrupt:
                    reason = reason_of(self.files.place(self.names[number]), error)
                    raise Unreadable(*reason.splitlines(), f"Remove it, or {SKIP}.") from error
        raise Unreadable(f"{self.files.root}: no readable image is left")

    def _decode(self, name: str) -> Tensor:
        image, _ = decode(self.files, name, self.wish, self.reading)
        if _size_of(image) != self.size:
            raise Refusal(f"{self.files.place(name)}: {_shown(_size_of(image))} pixels now")
        return image


def decode(files: Files, name: str, wish: Wish, reading: Reading) -> tuple[Tensor, Look]:
    """Decode one file to a row [C,H,W], of the size asked for or else of its own."""
    enough, place = 0 if wish.fit == "error" else 2 * wish.size, files.place(name)
    with files.open(name) as stream:
        image, known = decoded(stream, name=place, enough=enough)
    look = reading.check(place, image, known)
    return reading.row(image, reading.of(known), wish.fit, wish.size), look


def file_set(
    files: Files,
    split: Split,
    wish: Wish,
    told: Told | None = None,
    beside: Beside | None = None,
) -> ImageSet:
    """Make the set of one split, decoded at once if that takes at most wish.memory MiB.

    told: the classes, where the set itself says them; beside: images to lie beside these.
    """
    _check(wish)
    arranged = arrange(files, split, wish.holdout, wish.labels, told)
    said = arranged.told
    if not wish.skip_corrupt:
        said.accept(files)
    names, labels, classes = arranged.names, arranged.labels, arranged.classes
    reading = depths.settled(files, names, wish.mode, wish.range)
    size = (wish.size, wish.size) if wish.size else _first_size(files, names)
    shape = (CHANNELS[wish.mode], size[1], size[0])
    bulk = len(names) * math.prod(shape) * reading.bytes_each
    bulk += len(names) * math.prod(size) * beside.channels if beside else 0
    fits = bulk <= wish.memory * 2**20
    rows = torch.empty(len(names), *shape, dtype=reading.dtype) if fits else None
    visitor = Visitor(files, names, wish, reading, rows)
    sizes, bad, looks = _survey(visitor)
    if bad and not (wish.skip_corrupt and sizes):
        raise _refused(list(bad.values()), len(names))
    _refuse_sizes(sizes, size, [files.place(name) for name in names], wish)
    kept = torch.tensor(list(sizes))
    numbers = torch.tensor(labels)[kept] if classes else None
    left_out = [f"{files.place(name)}: {said.without[name]}" for name in arranged.without]
    about: dict[str, Any] = {"skipped": (*said.faults, *left_out, *bad.values())}
    about |= {"range": reading.range, "origin": said.origin}
    about["notes"] = depths.notes(looks, reading) + (() if wish.values else said.notes)
    chosen = [names[index] for index in sizes]
    about["texts"] = said.text and Texts(said.text, chosen)
    about["partners"] = beside and beside.of(files, chosen, size, held=fits)
    images: Tensor | Decoder
    if rows is not None:
        images = rows[kept] if bad else rows
    else:
        images = Decoder(files, chosen, size, wish, reading)
        about |= {"count": len(sizes), "depth": reading.bytes_each}
    found = ImageSet(images, shape, numbers, classes, **about)
    return with_values(found, files, chosen, wish, arranged.told)


def with_values(
    found: ImageSet, files: Files, names: Sequence[str], wish: Wish, told: Told
) -> ImageSet:
    """A set of the images `names` of some files, with the numbers that are told of them."""
    numbers = value_files.of_files(files, wish.values, wish.values_file, told)
    if numbers is None:
        return found
    learned = arrange(files, "train", wish.holdout, wish.labels, told).names
    places = {name: row for row, name in enumerate(files.names)}
    rows, train = (torch.tensor([places[name] for name in some]) for some in (names, learned))
    return told_values.put(found, numbers, rows, train)


def _check(wish: Wish) -> None:
    if wish.size > LARGEST:
        raise ConfigError(f"data.size: {wish.size} is too large; at most {LARGEST}")
    if wish.fit != "error" and not wish.size:
        raise ConfigError(f"data.fit: {wish.fit} needs a size; add --set data.size=64")


def _first_size(files: Files, names: Sequence[str]) -> Size:
    """Give the size of the first image that has one."""
    bad = []
    for name in names:
        try:
            return _measure(files, name)
        except (Refusal, OSError) as error:
            bad.append(reason_of(files.place(name), error))
    raise _refused(bad, len(names))


def _measure(files: Files, name: str) -> Size:
    return _inspected(files, name)[0]


def _inspected(files: Files, name: str) -> tuple[Size, Facts]:
    with files.open(name) as stream:
        return inspected(stream, name=files.place(name))


class Visitor(NamedTuple):
    """Checks the files of a set one by one; rows: where their images go, if they are wanted."""

    files: Files
    names: Sequence[str]
    wish: Wish
    reading: Reading
    rows: Tensor | None

    def visit(self, index: int) -> tuple[Size, Look]:
        """Check one file, and give the size of its image and what was seen of it."""
        files, name, wish = self.files, self.names[index], self.wish
        if self.rows is None:
            size, known = _inspected(files, name)
            return size if wish.fit == "error" else (wish.size, wish.size), Look(known)
        image, look = decode(files, name, wish, self.reading)
        if image.shape == self.rows.shape[1:]:
            self.rows[index] = image
        return _size_of(image), look

    def attempt(self, index: int) -> tuple[Size, Look] | str:
        """Check one file, or say why it cannot be read."""
        try:
            return self.visit(index)
        except OutOfRange:  # no damage: it must be said what the values mean
            raise
        except (Refusal, OSError) as error:
            return reason_of(self.files.place(self.names[index]), error)


def _survey(visitor: Visitor) -> tuple[dict[int, Size], dict[int, str], Looks]:
    """Visit all files; give the sizes found and why the others failed, by position."""
    sizes: dict[int, Size] = {}
    bad: dict[int, str] = {}
    looks = Looks()
    for index, outcome in enumerate(threaded(visitor.attempt, len(visitor.names))):
        if isinstance(outcome, str):
            bad[index] = outcome
        else:
            sizes[index], look = outcome
            looks.add(look)
    if visitor.rows is None:
        looks.extend(visitor.files, visitor.names, visitor.reading)
    return sizes, bad, looks


def threaded(attempt: Callable[[int], _Outcome], count: int) -> Iterator[_Outcome]:
    """Call attempt for 0..count-1 in a few threads: decoders release the interpreter."""
    # the threads change the warning filters in any order; this restores them at last
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, count, BLOCK):
            yield from pool.map(attempt, range(start, min(start + BLOCK, count)))


def reason_of(place: str, error: Refusal | OSError) -> str:
    """Why a file cannot be read, in words that name it."""
    if isinstance(error, Refusal):
        return error.message
    return f"{place}: {error.strerror or error}"


def _refused(bad: list[str], count: int) -> Refusal:
    """List the bad files with what is wrong with each, the first in the first line.

    Where all are bad, most often for one reason, it and the way out are said once.
    """
    first, *hints = bad[0].splitlines()
    if len(bad) == count:
        rest = f"none of the {many(count, 'files')} can be read{_others(bad)}"
        return Refusal(first, rest, *_joined(hints))
    rest = f"{len(bad)} of {many(count, 'files')} {'is' if len(bad) == 1 else 'are'} unreadable"
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
