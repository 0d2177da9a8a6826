"""Where generated images go: one sheet, one file a seed, an array file, or stdout."""

import io
import json
import shutil
import string
import zipfile
from collections.abc import Mapping, Sequence
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

Record = Mapping[str, Any]


class Output(Protocol):
    """Takes finished images in the order of their seeds; as a context manager it cleans up."""

    def __enter__(self) -> "Output": ...

    def __exit__(self, *_: object) -> None: ...

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """The seeds whose images are still wanted."""

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Take images uint8 [B, C, H, W] of these seeds and class names; return files written."""

    def finish(self) -> list[Path]:
        """Write what was held back until all images are there; return files written."""


def open_output(
    place: str, count: int, shape: tuple[int, ...], *, force: bool, skip_existing: bool
) -> Output:
    """The output that `place` asks for, checked before any work is done.

    "-", x.png (a sheet if there are several), x.npz, x.npy, a folder, or a name with {seed}.
    """
    if place == "-":
        console.refuse_binary_terminal()
        return _Sheet(None, count)
    path, fields = Path(place), _fields(place)
    if "seed" in fields:
        return _Files(place, force, skip_existing)
    if path.is_dir() or place.endswith("/") or not path.suffix:
        return _Files(str(path / "{seed}.png"), force, skip_existing)
    if skip_existing:
        raise ConfigError("--skip-existing: only for a folder or a name with {seed}")
    if path.exists() and not force:
        raise Refusal(f"{path}: exists already", "use --force to replace it, or another -o")
    if path.suffix == ".png":
        return _Sheet(path, count)
    if path.suffix in (".npz", ".npy"):
        _refuse_too_large(path, count * int(np.prod(shape)))
        return _Array(path, count, shape)
    raise ConfigError(
        f"-o {place}: unknown ending {path.suffix}; use .png, .npz, .npy or a folder"
    )


class _Files:
    """One PNG a seed; names are claimed when they are written, never replaced unasked."""

    def __init__(self, template: str, force: bool, skip_existing: bool) -> None:
        self._template, self._force, self._skip = template, force, skip_existing

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        """Files are whole as soon as they have their name."""

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """All seeds, or those without a file; a file in the way is refused."""
        if self._force or "class" in _fields(self._template):
            return seeds
        left = [seed for seed in seeds if not self._path(seed, "").exists()]
        if len(left) < len(seeds) and not self._skip:
            taken = next(self._path(s, "") for s in seeds if self._path(s, "").exists())
            fix = "use --skip-existing to fill up, or --force to replace"
            raise Refusal(f"{taken}: exists already", fix)
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

    def __init__(self, path: Path | None, count: int) -> None:
        if count > SHEET_LIMIT:
            raise Refusal(
                f"{count} images do not fit on one sheet (at most {SHEET_LIMIT})",
                "give -o a folder or an .npz file",
            )
        self._path, self._made = path, list[Tensor]()
        self._seeds, self._classes = list[int](), list[str]()
        self._record: Record = {}

    def __enter__(self) -> "_Sheet":
        return self

    def __exit__(self, *_: object) -> None:
        """An unfinished sheet is not written."""

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
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
        self._path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(self._path, data)
        return [self._path]


class _Array:
    """A .npy file of images uint8 [N, C, H, W], or an .npz that has seeds and labels as well."""

    def __init__(self, path: Path, count: int, shape: tuple[int, ...]) -> None:
        self._path, self._shape = path, (count, *shape)
        self._seeds, self._classes = list[int](), list[str]()
        self._record: Record = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        # Pixels wait on the disk that will hold the result, so memory does not grow with n.
        self._pixels = (path.parent / f".{path.name}.pixels.tmp").open("w+b")

    def __enter__(self) -> "_Array":
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the pixels that were held back."""
        self._pixels.close()
        Path(self._pixels.name).unlink(missing_ok=True)

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """All of them: the file is made in one go."""
        return seeds

    def add(
        self, seeds: Sequence[int], classes: Sequence[str] | None, made: Tensor, record: Record
    ) -> list[Path]:
        """Append the pixels."""
        self._pixels.write(made.contiguous().numpy().tobytes())
        self._seeds += seeds
        self._classes += classes or ()
        self._record = record
        return []

    def finish(self) -> list[Path]:
        """Write the array file from the pixels."""
        atomic.write(self._path, self._fill)
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
        found = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise ConfigError(f"-o {template}: {error}") from None
    if unknown := found - set(FIELDS):
        raise ConfigError(f"-o {template}: no field {{{min(unknown)}}}; use {{seed}} or {{class}}")
    return found


def _refuse_too_large(path: Path, needed: int) -> None:
    """Refuse what cannot fit on the disk before an hour of work."""
    place = next(p for p in path.absolute().parents if p.exists())
    free = shutil.disk_usage(place).free
    if 2 * needed > free:
        raise Refusal(f"{path}: needs {2 * needed:,} bytes, {free:,} are free")
