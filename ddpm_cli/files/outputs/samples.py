"""Where samples go: images to one sheet or one file a seed, arrays to a plot, both to numbers."""

import os
import shutil
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.files.images import pixels as images
from ddpm_cli.files.outputs import numbers, plots
from ddpm_cli.files.records import Names, Record, compact

FIELDS = ("seed", "class")
SHEET_LIMIT = 4096  # images on one sheet

LEAST = 512  # bytes of the smallest PNG with its metadata


class Output(Protocol):
    """Takes finished samples in the order of their seeds; as a context manager it cleans up."""

    def __enter__(self) -> "Output": ...

    def __exit__(self, *_: object) -> None: ...

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """The seeds whose samples are still wanted; `names` gives the classes of seeds."""

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Take float32 [B, ...], images in [-1, 1] or arrays in their own units; return files."""

    def finish(self) -> list[Path]:
        """Write what was held back until all samples are there; return files written."""


def open_output(
    place: str,
    count: int,
    shape: tuple[int, ...],
    *,
    force: bool,
    skip_existing: bool,
    ranks: int = 1,
    is_image: bool = True,
) -> Output:
    """The output that `place` asks for, checked before any work is done.

    "-", x.png (a sheet if there are several), a file of numbers, a folder, or a name with
    {seed}. Several processes (`ranks`) need one that has a file for each image. What is no image
    has no folder, its .png is a plot, and "-" gives CSV.
    """
    path, found = Path(place), fields(place, FIELDS)
    if found == {"class"}:
        raise ConfigError(f"-o {place}: several images would share a name; add {{seed}}")
    is_folder = path.is_dir() or place.endswith("/") or not path.suffix
    many = "seed" in found or is_folder
    if many and not is_image and place != "-":
        raise ConfigError(f"-o {place}: arrays go to one file; use .csv, .npy, .safetensors, .png")
    if place != "-" and many:
        refuse_too_large(path, count * LEAST)
        template = place if "seed" in found else str(path / "{seed}.png")
        return _Files(template, force, skip_existing)
    fix = "give a folder or a name with {seed}"
    if ranks > 1:
        raise ConfigError(f"-o {place}: {ranks} processes cannot write one file; {fix}")
    if skip_existing:
        raise ConfigError(f"--skip-existing: only for many files; {fix}")
    if place == "-":
        return _to_stdout(count, shape, is_image)
    if path.suffix not in (".png", *numbers.SUFFIXES) or (is_image and path.suffix == ".csv"):
        known = [suffix for suffix in numbers.SUFFIXES if not is_image or suffix != ".csv"]
        raise ConfigError(f"-o {place}: unknown ending; use .png, {', '.join(known)} or a folder")
    refuse_existing(path, force)
    if path.suffix == ".png" and is_image:
        refuse_too_large(path, LEAST * (count > SHEET_LIMIT) * count)
        return _Sheet(path, count, force)
    refuse_too_large(path, numbers.size(path, count, shape, is_image))
    if path.suffix == ".png":
        return _Plot(path, count, shape, force)
    return numbers.Rows(path, count, shape, force, is_image=is_image)


def _to_stdout(count: int, shape: tuple[int, ...], is_image: bool) -> Output:
    if not is_image:
        return numbers.Rows(None, count, shape, False, is_image=False)
    console.refuse_binary_terminal()
    return _Sheet(None, count, False)


def refuse_existing(path: Path, force: bool) -> None:
    """Refuse to replace a file unasked, before any work is done."""
    if path.exists() and not force:
        raise Refusal(f"{path}: exists already", "use --force to replace it, or another -o")


class _Files:
    """One PNG a seed; names are claimed when they are written, never replaced unasked."""

    def __init__(self, template: str, force: bool, skip_existing: bool) -> None:
        self._template, self._force, self._skip = template, force, skip_existing

    def __enter__(self) -> "_Files":
        folder = Path(self._template).parent
        if not fields(str(folder), FIELDS):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Files are whole as soon as they have their name."""

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """All seeds, or those without a file; a file in the way is refused."""
        if self._force:
            return seeds
        labels = names(seeds) if "class" in fields(self._template, FIELDS) else None
        left = []
        for row, seed in enumerate(seeds):
            path = self._path(seed, labels[row] if labels else "none")
            if not path.exists():
                left.append(seed)
            elif not self._skip:
                fix = "use --skip-existing to fill up, or --force to replace"
                raise Refusal(f"{path}: exists already", fix)
        return left

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Write each image under its own name."""
        written = []
        pixels = images.to_uint8(made)
        for row, (seed, image) in enumerate(zip(seeds, pixels, strict=True)):
            label = classes[row] if classes else "none"
            path = self._path(seed, label)
            path.parent.mkdir(parents=True, exist_ok=True)
            own = {**record, "seeds": compact([seed]), "classes": [label] if classes else None}
            atomic.write(path, images.encode_png(image, own), replace=self._force)
            written.append(path)
        return written

    def finish(self) -> list[Path]:
        """Nothing is held back."""
        return []

    def _path(self, seed: int, label: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in label)
        return Path(self._template.format_map({"seed": seed_name(seed), "class": safe}))


class _Sheet:
    """One PNG with all images, to a file or to stdout."""

    def __init__(self, path: Path | None, count: int, force: bool) -> None:
        refuse_sheet(count, "give -o a folder or an .npz file")
        self._path, self._force, self._made = path, force, list[Tensor]()
        self._seeds, self._classes = list[int](), list[str]()
        self._record: Record = {}

    def __enter__(self) -> "_Sheet":
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """An unfinished sheet is not written."""

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """All of them: a sheet is made in one go."""
        return seeds

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Hold the images until the sheet is complete."""
        self._made.append(images.to_uint8(made))
        self._seeds += seeds
        self._classes += classes or ()
        self._record = record
        return []

    def finish(self) -> list[Path]:
        """Write the sheet, or the one image."""
        made = torch.cat(self._made)
        picture = made[0] if len(made) == 1 else images.sheet(made)
        own = {**self._record, "seeds": compact(self._seeds), "classes": self._classes or None}
        data = images.encode_png(picture, own)
        if self._path is None:
            console.binary(data)
            return []
        atomic.write(self._path, data, replace=self._force)
        return [self._path]


class _Plot:
    """One PNG that shows rows of one or two values as a histogram or a cloud of points."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], force: bool) -> None:
        plots.check(path, count, shape)
        self._path, self._force, self._made = path, force, list[Tensor]()
        self._seeds, self._classes = list[int](), list[str]()
        self._record: Record = {}

    def __enter__(self) -> "_Plot":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """An unfinished plot is not written."""

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """All of them: a plot is made in one go."""
        return seeds

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Hold the points until they are complete."""
        self._made.append(made)
        self._seeds += seeds
        self._classes += classes or ()
        self._record = record
        return []

    def finish(self) -> list[Path]:
        """Draw the points."""
        picture = plots.cloud(torch.cat(self._made), self._classes)
        own = {**self._record, "seeds": compact(self._seeds)}
        atomic.write(self._path, images.encode_png(picture, own), replace=self._force)
        return [self._path]


def preview(made: Tensor, is_image: bool) -> tuple[str, bytes]:
    """A look at samples: the suffix of a file and its bytes; a sheet, a plot or else numbers."""
    if is_image:
        return ".png", images.encode_png(images.sheet(images.to_uint8(made)))
    if made.ndim == 2 and made.shape[1] <= 2 and plots.available():
        return ".png", images.encode_png(plots.cloud(made))
    return ".npy", numbers.npy_bytes(made)


def seed_name(seed: int) -> str:
    """A seed as part of a file name, which sorts by number."""
    return f"{seed:06d}"


def fields(template: str, known: Sequence[str]) -> set[str]:
    """The {fields} of a file name; unknown ones are refused."""
    listed = [f"{{{name}}}" for name in known]
    try:
        parsed = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"-o {template}: {error}") from None
    if any(form or conversion for _, _, form, conversion in parsed):
        raise ConfigError(f"-o {template}: write {' and '.join(listed)} as they are")
    found = {name or "" for _, name, _, _ in parsed}
    if unknown := found - set(known):
        raise ConfigError(f"-o {template}: no field {{{min(unknown)}}}; use {' or '.join(listed)}")
    return found


def refuse_too_large(path: Path, needed: int) -> None:
    """Refuse what cannot fit on the disk before an hour of work."""
    place = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise Refusal(f"{path}: needs {needed:,} bytes, {free:,} are free", "ask for fewer images")


def refuse_sheet(count: int, fix: str = "give -o a folder") -> None:
    """Refuse a sheet of too many images."""
    if count > SHEET_LIMIT:
        raise Refusal(f"{count} images do not fit on one sheet (at most {SHEET_LIMIT})", fix)


def refuse_unwritable(folder: Path, needed: int) -> None:
    """Refuse a folder, maybe yet to be made, in which nothing can be made, or not so much."""
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not place.is_dir():
        raise Refusal(f"{folder}: {place} is not a folder", "choose another -o")
    if not os.access(place, os.W_OK | os.X_OK):
        raise Refusal(f"{folder}: nothing can be written to {place}", "choose another -o")
    refuse_too_large(folder / "x", needed)
