"""Classes that a set itself tells of each image, beside it or in a table of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from ddpm_cli.data.class_tables import CLASS_LIMIT, numbered
from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

Word = str | int | None  # the name of a class, its number where classes are listed, or none


class Told(NamedTuple):
    """What a set itself says of its images, or tables beside them.

    numbers: of the classes by the names of the images; classes: None if none are told; text: what
    is written of an image by its name, if texts there are; origin: where the classes come from,
    notes: what is not read; without: images that have no class, and why; faults: files of the set
    that cannot be read; values: numbers [N, V] of all images by the names of their columns; held:
    images for test in any case, in their order.
    """

    numbers: Mapping[str, int] = {}
    classes: tuple[str, ...] | None = None
    text: Callable[[str], str | None] | None = None
    origin: str = "the data"
    notes: tuple[str, ...] = ()
    without: Mapping[str, str] = {}
    faults: tuple[str, ...] = ()
    values: Callable[[Sequence[str]], Tensor] | None = None
    held: tuple[str, ...] = ()

    def accept(self, files: Files) -> None:
        """Refuse a set with files that cannot be read, or with classes for some images alone."""
        if self.faults:
            others = f", {len(self.faults)} files in all" * (len(self.faults) > 1)
            first, *_ = self.faults[0].splitlines()
            fix = "Copy or download it again, or add --set data.skip_corrupt=true."
            raise Refusal(first + others, fix)
        if self.without:
            name, why = next(iter(self.without.items()))
            what = f"{files.place(name)}: {why}"
            rest = f"{len(self.without)} of {len(files.names)} images have none"
            fix = (
                "--set data.skip_corrupt=true leaves them out, --set data.labels=none all classes"
            )
            raise Refusal(what, rest, fix)


def told(
    files: Files,
    words: Iterable[Word],
    classes: Sequence[str] | None = None,
    reasons: Mapping[str, str] | None = None,
) -> Told:
    """Number the classes of images in the order of their names, if any of them has one.

    classes: what the numbers among words mean; without it words name the classes. reasons: why
    images of these names have none.
    """
    by_name = dict(zip(files.names, words, strict=True))
    known = {name: word for name, word in by_name.items() if word is not None}
    if not known and not reasons:
        return Told()
    why = reasons or {}
    without = {name: why.get(name, "no class") for name, word in by_name.items() if word is None}
    if classes is None:
        found, listed = numbered([str(word) for word in known.values()], files.root)
        return Told(dict(zip(known, found.tolist(), strict=True)), listed, without=without)
    counted(len(classes), files.root)
    return Told(_checked(files, known, len(classes)), tuple(classes), without=without)


def counted(count: int, place: object) -> int:
    """A number of classes, if it is one that a network may have."""
    if count > CLASS_LIMIT:
        raise Refusal(f"{place}: {count} classes; at most {CLASS_LIMIT}")
    return count


def _checked(files: Files, known: Mapping[str, Word], count: int) -> dict[str, int]:
    numbers = {}
    for name, word in known.items():
        if not isinstance(word, int) or not 0 <= word < count:
            what = f"{files.place(name)}: class {word}; expected 0 to {count - 1}"
            raise Refusal(what, "--set data.labels=none trains without classes")
        numbers[name] = word
    return numbers
