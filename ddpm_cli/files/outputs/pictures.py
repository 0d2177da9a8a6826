"""Samples as pictures: a file a seed, or one of all, as a sheet of images or a plot of points."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import Refusal
from ddpm_cli.files.captions import caption
from ddpm_cli.files.images import sheets
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.outputs import encoding, plots, targets
from ddpm_cli.files.outputs.naming import USUAL_NAMES, Naming
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import Record, compact, each
from ddpm_cli.settings.layouts import USUAL, Layout


class Files:
    """One file a seed; names are claimed when they are written, never replaced unasked."""

    def __init__(
        self, template: str, existing: Existing, scale: Scale, naming: Naming = USUAL_NAMES
    ) -> None:
        self._template, self._existing = template, existing
        self._scale, self._naming = scale, naming

    def __enter__(self) -> "Files":
        folder = Path(self._template).parent
        if not self._naming.fields(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Files are whole as soon as they have their name."""

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """All seeds, or those without a file; a file in the way is refused."""
        if self._existing.force:
            return seeds
        left = []
        for seed in seeds:
            path = self.place(seed)
            if not path.exists():
                left.append(seed)
            elif not path.is_file():
                targets.refuse_existing(path, self._existing.force)
            elif not self._existing.skip:
                fix = "use --skip-existing to fill up, or --force to replace"
                raise Refusal(f"{path}: exists already", fix)
        return left

    def add(
        self,
        seeds: Sequence[int],
        classes: Sequence[str] | None,
        values: Tensor,
        record: Record,
        told: Sequence[Record] = (),
    ) -> list[Path]:
        """Write each image under its own name."""
        written = []
        for row, (seed, image) in enumerate(zip(seeds, self._scale.pixels(values), strict=True)):
            label, own = classes[row] if classes else None, told[row] if told else {}
            path = self.place(seed)
            about = {**record, **own, "seeds": compact([seed])}
            about["classes"] = [label] if label else None
            data = encoding.encode(image, path, about, self._scale)
            written += targets.put(path, data, self._existing)
        return written

    def finish(self) -> list[Path]:
        """Nothing is held back."""
        return []

    def place(self, seed: int) -> Path:
        """The file of a seed."""
        return self._naming.path(self._template, seed)


class Drawing(NamedTuple):
    """How samples become one picture.

    hold: what is kept of a batch until all are there; draw: all that was kept, their classes, and
    the record of each -> pixels [C, H, W]; names_classes: whether the record lists them; scale:
    of the pixels.
    """

    hold: Callable[[Tensor], Tensor]
    draw: Callable[[Tensor, Sequence[str], Iterator[Record]], Tensor]
    names_classes: bool
    scale: Scale = BYTES


def sheet(scale: Scale, layout: Layout = USUAL) -> Drawing:
    """The one image, or all on a sheet, in pixels of a scale."""

    def draw(images: Tensor, classes: Sequence[str], entries: Iterator[Record]) -> Tensor:
        lines = [caption(entry, layout.labels) for entry in entries] if layout.labels else []
        return sheets.drawn(images, layout, lines, white=scale.high)

    return Drawing(scale.pixels, draw, names_classes=True, scale=scale)


def _plotted(points: Tensor, classes: Sequence[str], entries: Iterator[Record]) -> Tensor:
    return plots.cloud(points, classes)


PLOT = Drawing(lambda points: points, _plotted, names_classes=False)


class Picture:
    """One picture of all samples, to a file or to stdout."""

    def __init__(self, path: Path | None, drawing: Drawing, existing: Existing) -> None:
        self._path, self._drawing, self._existing = path, drawing, existing
        self._held: list[Tensor] = []
        self._seeds, self._classes = list[int](), list[str]()
        self._told = list[Record]()
        self._record: Record = {}

    def __enter__(self) -> "Picture":
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """An unfinished picture is not written."""

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """All of them, as a picture is made in one go; none if it may be left out and is there."""
        is_there = self._existing.skip and self._path is not None and self._path.is_file()
        return [] if is_there else seeds

    def place(self, seed: int) -> Path | None:
        """The one file."""
        return self._path

    def add(
        self,
        seeds: Sequence[int],
        classes: Sequence[str] | None,
        values: Tensor,
        record: Record,
        told: Sequence[Record] = (),
    ) -> list[Path]:
        """Hold the samples until they are complete."""
        self._held.append(self._drawing.hold(values))
        self._seeds += seeds
        self._classes += classes or ()
        self._told += told
        self._record = record
        return []

    def finish(self) -> list[Path]:
        """Draw and write the picture, unless nothing was wanted."""
        if not self._held:
            return []
        picture = self._drawing.draw(torch.cat(self._held), self._classes, self._entries())
        about = {**self._record, "seeds": compact(self._seeds)}
        if self._drawing.names_classes:
            about["classes"] = self._classes or None
        about |= each(self._told, self._record)
        data = encoding.encode(picture, self._path, about, self._drawing.scale)
        if self._path is None:
            console.binary(data)
            return []
        return targets.put(self._path, data, self._existing)

    def _entries(self) -> Iterator[Record]:
        """The record of each sample alone."""
        for row, seed in enumerate(self._seeds):
            label = self._classes[row] if self._classes else None
            own = self._told[row] if self._told else {}
            yield {**self._record, **own, "seed": seed, "class": label}
