"""Where generated images go: one sheet, one file a seed, an array file, or stdout."""

import io
import json
import math
import shutil
import string
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic, images

FIELDS = ("seed", "class")
SHEET_LIMIT = 4096  # images on one sheet

LEAST = 512  # bytes of the smallest PNG with its metadata

Record = Mapping[str, Any]
Names = Callable[[Sequence[int]], Sequence[str] | None]


class Output(Protocol):
    """Takes finished images in the order of their seeds; as a context manager it cleans up."""

    def __enter__(self) -> "Output": ...

    def __exit__(self, *_: object) -> None: ...

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """The seeds whose images are still wanted; `names` gives the classes of seeds."""

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Take images uint8 [B, C, H, W] of these seeds and class names; return files written."""

    def finish(self) -> list[Path]:
        """Write what was held back until all images are there; return files written."""


def open_output(
    place: str,
    count: int,
    shape: tuple[int, ...],
    *,
    force: bool,
    skip_existing: bool,
    ranks: int = 1,
) -> Output:
    """The output that `place` asks for, checked before any work is done.

    "-", x.png (a sheet if there are several), x.npz, x.npy, a folder, or a name with {seed}.
    Several processes (`ranks`) need one that has a file for each image.
    """
    path, fields = Path(place), _fields(place)
    if fields == {"class"}:
        raise ConfigError(f"-o {place}: several images would share a name; add {{seed}}")
    is_folder = path.is_dir() or place.endswith("/") or not path.suffix
    if place != "-" and ("seed" in fields or is_folder):
        _refuse_too_large(path, count * LEAST)
        template = place if "seed" in fields else str(path / "{seed}.png")
        return _Files(template, force, skip_existing)
    fix = "give a folder or a name with {seed}"
    if ranks > 1:
        raise ConfigError(f"-o {place}: {ranks} processes cannot write one file; {fix}")
    if skip_existing:
        raise ConfigError(f"--skip-existing: only for many files; {fix}")
    if place == "-":
        console.refuse_binary_terminal()
        return _Sheet(None, count, force)
    if path.suffix not in (".png", ".npz", ".npy"):
        raise ConfigError(f"-o {place}: unknown ending; use .png, .npz, .npy or a folder")
    if path.exists() and not force:
        raise Refusal(f"{path}: exists already", "use --force to replace it, or another -o")
    if path.suffix == ".png":
        _refuse_too_large(path, LEAST * (count > SHEET_LIMIT) * count)
        return _Sheet(path, count, force)
    _refuse_too_large(path, 2 * count * math.prod(shape))
    return _Array(path, count, shape, force)


class _Files:
    """One PNG a seed; names are claimed when they are written, never replaced unasked."""

    def __init__(self, template: str, force: bool, skip_existing: bool) -> None:
        self._template, self._force, self._skip = template, force, skip_existing

    def __enter__(self) -> "_Files":
        folder = Path(self._template).parent
        if not _fields(str(folder)):
            folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        """Files are whole as soon as they have their name."""

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """All seeds, or those without a file; a file in the way is refused."""
        if self._force:
            return seeds
        labels = names(seeds) if "class" in _fields(self._template) else None
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
        for row, (seed, image) in enumerate(zip(seeds, made, strict=True)):
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
        return Path(self._template.format_map({"seed": f"{seed:06d}", "class": safe}))


class _Sheet:
    """One PNG with all images, to a file or to stdout."""

    def __init__(self, path: Path | None, count: int, force: bool) -> None:
        if count > SHEET_LIMIT:
            raise Refusal(
                f"{count} images do not fit on one sheet (at most {SHEET_LIMIT})",
                "give -o a folder or an .npz file",
            )
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
        self._made.append(made)
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


class _Array:
    """A .npy file of images uint8 [N, C, H, W], or an .npz that has seeds and labels as well."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...], force: bool) -> None:
        self._path, self._shape, self._force = path, (count, *shape), force
        self._seeds, self._classes = list[int](), list[str]()
        self._record: Record = {}

    def __enter__(self) -> "_Array":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Pixels wait on the disk that will hold the result, so memory does not grow with n; the
        # file has no name, so that nothing is left of it whatever happens.
        self._pixels = tempfile.TemporaryFile(dir=self._path.parent)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the pixels that were held back."""
        self._pixels.close()

    def missing(self, seeds: Sequence[int], names: Names) -> Sequence[int]:
        """All of them: the file is made in one go."""
        return seeds

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Append the pixels."""
        self._pixels.write(made.contiguous().numpy().data)
        self._seeds += seeds
        self._classes += classes or ()
        self._record = record
        return []

    def finish(self) -> list[Path]:
        """Write the array file from the pixels."""
        atomic.write(self._path, self._fill, replace=self._force)
        return [self._path]

    def _fill(self, file: Any) -> None:
        self._pixels.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": self._shape}
        if self._path.suffix == ".npy":
            npy.write_array_header_2_0(file, header)
            shutil.copyfileobj(self._pixels, file)
            return
        own = {**self._record, "seeds": compact(self._seeds)}
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(_entry("images.npy"), "w", force_zip64=True) as member:
                npy.write_array_header_2_0(member, header)
                shutil.copyfileobj(self._pixels, member)
            rest = {"seeds": np.array(self._seeds, dtype=np.int64)}
            if self._classes:
                rest["classes"] = np.array(self._classes)
            rest["ddpm"] = np.array(json.dumps(own))
            for name, array in rest.items():
                buffer = io.BytesIO()
                npy.write_array(buffer, array, allow_pickle=False)
                archive.writestr(_entry(f"{name}.npy"), buffer.getvalue())


def _entry(name: str) -> zipfile.ZipInfo:
    """A zip entry without a clock in it: equal settings give equal bytes."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))


def compact(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them: [0, 1, 2, 40] is "0-2,40"."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _fields(template: str) -> set[str]:
    """The {fields} of a file name; unknown ones are refused."""
    try:
        parsed = [part for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise ConfigError(f"-o {template}: {error}") from None
    if any(form or conversion for _, _, form, conversion in parsed):
        raise ConfigError(f"-o {template}: write {{seed}} and {{class}} as they are")
    found = {name or "" for _, name, _, _ in parsed}
    if unknown := found - set(FIELDS):
        raise ConfigError(f"-o {template}: no field {{{min(unknown)}}}; use {{seed}} or {{class}}")
    return found


def _refuse_too_large(path: Path, needed: int) -> None:
    """Refuse what cannot fit on the disk before an hour of work."""
    place = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise Refusal(f"{path}: needs {needed:,} bytes, {free:,} are free", "ask for fewer images")
