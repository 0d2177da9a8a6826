"""Samples as numbers in one file: .npy, .npz, .safetensors or .csv."""

import csv
import io
import json
import math
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.files import cells
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.outputs import targets
from ddpm_cli.files.outputs.targets import Existing
from ddpm_cli.files.records import METADATA_KEY, Record, compact, each
from ddpm_cli.files.titles import Titles

SUFFIXES = (".csv", ".npy", ".npz", ".safetensors")
BLOCK = 2**20  # bytes of a piece of CSV


class Rows:
    """One file of all samples; images are pixels in .npy and .npz, all else is float32.

    .npz and .safetensors hold seeds, classes and provenance as well; .csv is the table that was
    learned again, names, integers and words (`titles`), which elsewhere are numbers from 0.
    Without a path, CSV goes to stdout.
    """

    def __init__(
        self,
        path: Path | None,
        count: int,
        shape: tuple[int, ...],
        existing: Existing,
        *,
        scale: Scale | None = None,
        titles: Titles | None = None,
    ) -> None:
        """Take the file, how many samples of which shape, and of images the scale of pixels."""
        self._path, self._shape, self._existing = path, (count, *shape), existing
        self._titles = titles or Titles(None, ())
        self._suffix = path.suffix if path else ".csv"
        self._scale = scale if self._suffix in (".npy", ".npz") else None
        self._dtype = "<f4"
        if self._scale is not None:
            self._dtype = "<u2" if self._scale.is_deep else "|u1"
        self._name = "samples" if scale is None else "images"
        self._seeds, self._classes = list[int](), list[str]()
        self._told = list[Record]()
        self._record: Record = {}
        self._is_empty = True

    def __enter__(self) -> "Rows":
        # Values wait on the disk that will hold the result, so memory does not grow with n; the
        # file has no name, so that nothing is left of it whatever happens.
        folder = None
        if self._path is not None:
            folder = self._path.parent
            folder.mkdir(parents=True, exist_ok=True)
        self._values = tempfile.TemporaryFile(dir=folder)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the values that were held back."""
        self._values.close()

    @property
    def size(self) -> int:
        """The bytes of disk that the samples take, which wait in a file beside their own."""
        return 2 * math.prod(self._shape) * np.dtype(self._dtype).itemsize

    def missing(self, seeds: Sequence[int]) -> Sequence[int]:
        """All of them, as the file is made in one go; none if it may be left out and is there."""
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
        """Append the values; samples without seeds have none of them."""
        numbers = values.float() if self._scale is None else self._scale.pixels(values)
        self._values.write(numbers.contiguous().numpy().astype(self._dtype, copy=False).data)
        self._seeds += seeds
        self._classes += classes or ()
        self._told += told
        self._record = record
        self._is_empty = False
        return []

    def finish(self) -> list[Path]:
        """Write the file from the values, unless none were wanted."""
        if self._is_empty:
            return []
        if self._path is None:
            for text in self._csv():
                console.binary(text.encode())
            return []
        fill = {".npy": self._npy, ".npz": self._npz, ".csv": self._csv_file}
        write = fill.get(self._suffix, self._safetensors)
        return targets.put(self._path, write, self._existing)

    def _npy(self, file: Any) -> None:
        """An array file without provenance."""
        self._values.seek(0)
        header = {"descr": self._dtype, "fortran_order": False, "shape": self._shape}
        npy.write_array_header_2_0(file, header)
        shutil.copyfileobj(self._values, file)

    def _npz(self, file: Any) -> None:
        """Several array files in an archive; the provenance is a string in JSON."""
        about = self._about()
        if self._scale is not None:
            about |= scales.recorded(self._scale, self._scale.is_deep)
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(entry(f"{self._name}.npy"), "w", force_zip64=True) as member:
                self._npy(member)
            rest = {"seeds": np.array(self._seeds, dtype=np.int64)} if self._seeds else {}
            if self._classes:
                rest["classes"] = np.array(self._classes)
            rest |= self._columns_told()
            if self._titles.columns:
                rest["columns"] = np.array(self._titles.columns)
            add_arrays(archive, rest | {METADATA_KEY: np.array(json.dumps(about))})

    def _safetensors(self, file: Any) -> None:
        """The samples and their seeds; the provenance, with the classes, is in the header."""
        self._values.seek(0)
        count = math.prod(self._shape)
        flat = np.memmap(self._values, dtype="<f4", mode="r+", shape=(count,))
        tensors = {"samples": torch.from_numpy(flat).reshape(self._shape)}
        if self._seeds:
            tensors["seeds"] = torch.tensor(self._seeds, dtype=torch.int64)
        about = {**self._about(), "classes": self._classes or None}
        if self._titles.columns:
            about["columns"] = list(self._titles.columns)
        entries = {METADATA_KEY: json.dumps(about, sort_keys=True)}
        file.write(safetensors.save(tensors, entries))

    def _columns_told(self) -> dict[str, Any]:
        """The text of each sample, and each number that it is told, by name."""
        found: dict[str, Any] = {}
        if any(own.get("text") is not None for own in self._told):
            found["texts"] = np.array([own.get("text") or "" for own in self._told])
        numbers = [own.get("values") or {} for own in self._told]
        for name in numbers[0] if numbers else ():
            column = [row.get(name) for row in numbers]
            found[f"value.{name}"] = np.array(
                [math.nan if one is None else one for one in column], dtype=np.float64
            )
        return found

    def _about(self) -> dict[str, Any]:
        """What the file says of its making."""
        seeds = {"seeds": compact(self._seeds)} if self._seeds else {}
        words = {"categories": self._titles.categories} if self._titles.categories else {}
        return {**self._record, **seeds, **words, **each(self._told, self._record)}

    def _csv_file(self, file: Any) -> None:
        for text in self._csv():
            file.write(text.encode())

    def _csv(self) -> Iterator[str]:
        """A header line and a line a sample, piece by piece: values, and class if any."""
        width = math.prod(self._shape[1:])
        count = max(1, BLOCK // (4 * width))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = self._titles.columns or [f"x{i + 1}" for i in range(width)]
        heading, place = [*names], self._titles.place
        place = len(heading) if place is None else place
        heading[place:place] = [self._titles.label or "class"] * bool(self._classes)
        writer.writerow(heading)
        self._values.seek(0)
        for first in range(0, self._shape[0], count):
            rows = slice(first, first + count)
            read = self._values.read(4 * width * count)
            block = np.frombuffer(read, dtype="<f4").reshape(-1, width)
            lines = [cells.written(values, self._titles) for values in block]
            for row, label in zip(lines, self._classes[rows], strict=False):
                row.insert(place, label)
            writer.writerows(lines)
            yield text.getvalue()
            text.seek(0)
            text.truncate()


def npy_bytes(values: Any) -> bytes:
    """One array as a .npy file."""
    buffer = io.BytesIO()
    npy.write_array(buffer, np.asarray(values), allow_pickle=False)
    return buffer.getvalue()


def add_arrays(archive: zipfile.ZipFile, arrays: Mapping[str, Any]) -> None:
    """Add NumPy arrays to an archive, without a clock: equal settings give equal bytes."""
    for name, values in arrays.items():
        archive.writestr(entry(f"{name}.npy"), npy_bytes(values))


def entry(name: str) -> zipfile.ZipInfo:
    """A zip entry without a clock in it."""
    return zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
