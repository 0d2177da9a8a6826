"""Where samples go: images to one sheet or one file a seed, arrays to a plot, both to numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images import pixels, sheets
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.images.sheets import Lines, gridded
from ddpm_cli.files.outputs import encoding, numbers, plots
from ddpm_cli.files.outputs.naming import USUAL_NAMES, Naming
from ddpm_cli.files.outputs.numbers import Rows
from ddpm_cli.files.outputs.pictures import PLOT, Files, Picture, sheet
from ddpm_cli.files.outputs.targets import (
    LEAST,
    SHEET_LIMIT,
    Existing,
    refuse_existing,
    refuse_sheet,
    refuse_too_large,
    refuse_unwritable,
)
from ddpm_cli.files.records import Record
from ddpm_cli.files.titles import Titles
from ddpm_cli.settings.layouts import USUAL, Layout


class Output(Protocol):
    """Takes finished samples in the order of their seeds; as a context manager it cleans up."""

    def __enter__(self) -> "Output": ...

    def __exit__(self, *_: object) -> None: ...

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds whose samples are still wanted."""

    def place(self, seed: int) -> Path | None:
        """The file of the sample of a seed; None for stdout."""

    def add(
        self,
        seeds: Sequence[int],
        classes: Sequence[str] | None,
        values: Tensor,
        record: Record,
        told: Sequence[Record] = (),
    ) -> list[Path]:
        """Take float32 [B, ...], images in [-1, 1] or arrays in their own units; return files.

        told: what else the record says of each sample alone.
        """

    def finish(self) -> list[Path]:
        """Write what was held back until all samples are there; return files written."""


def endings(shape: tuple[int, ...], *, is_image: bool) -> tuple[str, ...]:
    """The endings that a file of samples of a shape can have, the usual one first.

    One or two numbers can be plotted; what has more axes than one is a table only if asked for.
    """
    rest = tuple(suffix for suffix in numbers.SUFFIXES if suffix != ".csv")
    if is_image:
        return (*encoding.SUFFIXES, *rest)
    tables = (".csv", *rest) if len(shape) == 1 else (*rest, ".csv")
    return (*tables, *encoding.SUFFIXES) if plots.is_drawn(shape) else tables


def open_output(
    place: str,
    count: int,
    shape: tuple[int, ...],
    *,
    force: bool,
    skip_existing: bool,
    is_image: bool = True,
    titles: Titles | None = None,
    scale: Scale = BYTES,
    layout: Layout = USUAL,
    used: Sequence[str] = (),
    naming: Naming = USUAL_NAMES,
) -> Output:
    """The output that `place` asks for, checked before any work is done.

    "-", x.png (a sheet if there are several; as .jpg and .webp, too), a file of numbers, a
    folder, or a name with {seed} or another field of `naming`. What is no image has no folder, its
    .png is a plot, and "-" gives CSV, its columns named by `titles`. scale: of the pixels of
    images. layout: of a sheet; used: what of it another output shows.
    """
    path, template = Path(place), naming.template(place)
    if not (is_image and template is None and (place == "-" or encoding.is_picture(path))):
        layout.refuse_idle(place, used)
    if template is not None:
        if not is_image:
            one = f"arrays go to one file; use {', '.join(endings(shape, is_image=False))}"
            raise ConfigError(f"-o {place}: {one}")
        _refuse_template(template, count, naming)
        return Files(template, Existing(force, skip_existing), scale, naming)
    if place != "-":
        if not (skip_existing and path.is_file()):
            refuse_existing(path, force)
        existing = Existing(force, skip_existing)
        if is_image:
            return _images(path, count, shape, existing, scale, layout)
        return _arrays(path, count, shape, existing, titles)
    if skip_existing:
        raise ConfigError("--skip-existing: only for files; leave it out with -o -")
    if not is_image:
        return Rows(None, count, shape, Existing(), titles=titles)
    console.refuse_binary_terminal()
    refuse_sheet(count, "give -o a folder or an .npz file")
    gridded(count, shape, layout).refuse_large("-o -")
    return Picture(None, sheet(scale, layout), Existing())


def _refuse_template(template: str, count: int, naming: Naming) -> None:
    """Refuse names of one file a seed that no picture can have, or a folder without room."""
    if not encoding.is_picture(Path(template)):
        endings = ", ".join(encoding.SUFFIXES)
        raise ConfigError(f"-o {template}: unknown ending; use {endings} or a folder")
    encoding.announce(Path(template))
    fixed = [part for part in Path(template).parents if not naming.fields(str(part))]
    refuse_unwritable(fixed[0], count * LEAST)


def _images(
    path: Path,
    count: int,
    shape: tuple[int, ...],
    existing: Existing,
    scale: Scale,
    layout: Layout,
) -> Output:
    """All images as a sheet, or as numbers."""
    _refuse_suffix(path, endings(shape, is_image=True), " or a folder")
    if not encoding.is_picture(path):
        rows = Rows(path, count, shape, existing, scale=scale)
        refuse_too_large(path, rows.size)
        return rows
    refuse_too_large(path, LEAST * (count > SHEET_LIMIT) * count)
    refuse_sheet(count, "give -o a folder or an .npz file")
    gridded(count, shape, layout).refuse_large(str(path))
    encoding.announce(path)
    return Picture(path, sheet(scale, layout), existing)


def _arrays(
    path: Path,
    count: int,
    shape: tuple[int, ...],
    existing: Existing,
    titles: Titles | None,
) -> Output:
    """All arrays as a plot, or as numbers."""
    rows = Rows(path, count, shape, existing, titles=titles)
    _refuse_suffix(path, endings(shape, is_image=False))
    refuse_too_large(path, rows.size)
    if not encoding.is_picture(path):
        return rows
    plots.refuse(path, count, shape)
    encoding.announce(path)
    return Picture(path, PLOT, existing)


def _refuse_suffix(path: Path, known: Sequence[str], rest: str = "") -> None:
    if path.suffix not in known and not encoding.is_picture(path):
        raise ConfigError(f"-o {path}: unknown ending; use {', '.join(known)}{rest}")


def preview(
    values: Tensor, is_image: bool, layout: Layout = USUAL, captions: Sequence[Lines] = ()
) -> tuple[str, bytes]:
    """A look at samples: the suffix of a file and its bytes; a sheet, a plot or else numbers."""
    if is_image:
        return ".png", pixels.encode_png(sheets.sheet(pixels.to_uint8(values), layout, captions))
    if plots.is_drawn(tuple(values.shape[1:])) and plots.available():
        return ".png", pixels.encode_png(plots.cloud(values))
    return ".npy", numbers.npy_bytes(values)
