"""Samples that are rows of arrays: .npy, .npz of ours or others, and .safetensors."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files import array_file, records, tensor_file
from ddpm_cli.files.records import METADATA_KEY, Record
from ddpm_cli.pipelines.stores import BLOCK, Sample, Shelf

CHANNELS = (1, 3, 4)
NAMES = ("images", "samples", "arr_0")  # of the array in an .npz file
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Array(NamedTuple):
    """An array [N, ...] in a file, from a byte on; its rows are read one by one."""

    file: Path
    offset: int
    shape: tuple[int, ...]
    dtype: Any
    is_last: bool  # whether the last axis is the channels

    def row(self, number: int) -> Tensor:
        """A row, as pixels uint8 or int32 [C,H,W], or as floats."""
        raw = isinstance(self.dtype, torch.dtype)
        size = (self.dtype if raw else np.dtype(self.dtype)).itemsize
        for side in self.shape[1:]:
            size *= side
        with self.file.open("rb") as stream:
            stream.seek(self.offset + number * size)
            read = bytearray(stream.read(size))
        if len(read) < size:
            raise Refusal(f"{self.file}: corrupt: it ends within its samples")
        if raw:
            return torch.frombuffer(read, dtype=self.dtype).reshape(self.shape[1:])
        values = np.frombuffer(read, dtype=self.dtype).reshape(self.shape[1:])
        if values.dtype == np.uint16:
            values = values.astype(np.int32)
        native = values.astype(values.dtype.newbyteorder("="), copy=False)
        row = torch.from_numpy(native)
        if row.ndim == 2 and not row.is_floating_point():
            return row[None]
        return row.permute(2, 0, 1).contiguous() if self.is_last else row


class Row(NamedTuple):
    """A row of an array."""

    array: Array
    number: int

    def values(self) -> Tensor:
        """Its pixels or numbers."""
        return self.array.row(self.number)

    def data(self) -> None:
        """It is no picture."""


def rows(path: Path, shelf: Shelf) -> Iterator[Sample]:
    """The samples in a file of arrays."""
    if path.suffix == ".safetensors":
        array, seeds, classes, record = _of_tensors(path)
    elif path.suffix == ".npz":
        array, seeds, classes, record = _of_archive(path, shelf)
    else:
        with path.open("rb") as stream:
            array, seeds, classes, record = _array(path, path, stream, 0), None, None, {}
    count, (kind, shape) = len(range(array.shape[0])), _kind(path, array)
    for beside in (seeds, classes):
        if beside is not None and len(beside) != count:
            raise Refusal(f"{path}: corrupt: {count} samples, and {len(beside)} seeds or classes")
    about = shelf.shared(record)
    for number in range(count):
        yield Sample(
            f"{path}[{number}]",
            f"{path.stem}-{number:06d}",
            path.stem,
            kind,
            shape,
            Row(array, number),
            about,
            None if seeds is None else int(seeds[number]),
            None if classes is None else str(classes[number]),
            told=records.alone(record, number),
        )


def _kind(path: Path, array: Array) -> tuple[str, tuple[int, ...]]:
    """What the rows of an array are, and their shape."""
    if not array.shape or not array.shape[0]:
        raise Refusal(f"{path}: no samples in it")
    row = array.row(array.shape[0] - 1)
    shape = tuple(row.shape)
    if row.is_floating_point():
        return str(row.dtype).removeprefix("torch."), shape
    modes = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"} if row.dtype == torch.uint8 else {1: "I;16"}
    if len(shape) != 3 or shape[0] not in modes:
        shown = "x".join(map(str, shape))
        raise Refusal(f"{path}: rows of {shown} {array.dtype} are no samples")
    return modes[shape[0]], shape


def _array(path: Path, file: Path, stream: IO[bytes], start: int) -> Array:
    """An array of NumPy that begins where a stream stands; start: of that in the file."""
    try:
        read = {1: npy.read_array_header_1_0, 2: npy.read_array_header_2_0}
        shape, is_fortran, dtype = read[npy.read_magic(stream)[0]](stream)
    except (ValueError, KeyError):
        raise Refusal(f"{path}: corrupt: no array of NumPy") from None
    if dtype.hasobject or is_fortran or not (dtype in (np.uint8, np.uint16) or dtype.kind == "f"):
        what = "in the order of Fortran" if is_fortran else f"of {dtype}"
        fix = "save it as uint8, uint16 or float32 with numpy.ascontiguousarray"
        raise Refusal(f"{path}: an array {what}; {fix}")
    is_last = len(shape) == 4 and shape[3] in CHANNELS and shape[1] not in CHANNELS
    return Array(file, start + stream.tell(), shape, dtype, is_last and dtype.kind == "u")


def _of_archive(path: Path, shelf: Shelf) -> tuple[Array, Any, Any, Record]:
    """Of an .npz file: the array, seeds, classes and record; its seeds and classes are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            name = next((name for name in NAMES if name in names), None)
            if name is None:
                there = ", ".join(sorted(names)[:6])
                raise Refusal(f"{path}: no samples in it, but {there or 'nothing'}")
            array = _member(path, archive, f"{name}.npy", shelf)
            if name == "arr_0" and len(array.shape) == 4:  # of OpenAI's evaluator, [N,H,W,C]
                array = array._replace(is_last=array.shape[3] in CHANNELS)
        with np.load(path, allow_pickle=False) as loaded:
            seeds = loaded["seeds"] if "seeds" in names else None
            label = next((key for key in ("classes", "arr_1") if key in names), None)
            classes = None if label is None else loaded[label].reshape(-1)
    except (OSError, KeyError, *array_file.DAMAGED) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        if damaged := array_file.damage(path):
            raise damaged from error
        raise Refusal(f"{path}: corrupt: {error}") from error
    record = records.of_samples(path) if METADATA_KEY in names else None
    return array, seeds, classes, record or {}


def _member(path: Path, archive: zipfile.ZipFile, name: str, shelf: Shelf) -> Array:
    """An array in an archive: read where it lies, unless it is packed."""
    info = archive.getinfo(name)
    with archive.open(info) as member:
        if info.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as stream:
                stream.seek(info.header_offset + 26)
                lengths = stream.read(4)
            start = info.header_offset + 30
            start += int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
            array = _array(path, path, member, start)
            while member.read(BLOCK):  # to the end, where its check sum is
                pass
            return array
        unpacked = shelf.unpacked(member)
    with unpacked.open("rb") as stream:
        return _array(path, unpacked, stream, 0)


def _of_tensors(path: Path) -> tuple[Array, Any, Any, Record]:
    """Of a .safetensors file: the samples, seeds, classes and record."""
    record = records.of_samples(path)
    with path.open("rb") as stream:
        try:
            head = tensor_file.read(stream)
            start, place = stream.tell(), head.layout["samples"]
            dtype = FLOATS[place["dtype"]]
            seeds = _read(stream, start, head.layout["seeds"]) if "seeds" in head.layout else None
        except (ValueError, KeyError):
            record = None
        if record is None:
            fix = "give what ddpm sample or ddpm encode wrote"
            raise Refusal(f"{path}: no samples in it; {fix}")
    array = Array(path, start + place["data_offsets"][0], tuple(place["shape"]), dtype, False)
    return array, seeds, record.get("classes"), record


def _read(stream: IO[bytes], start: int, place: Mapping[str, Any]) -> Any:
    """The seeds of samples, int64 [N]."""
    if place["dtype"] != "I64":
        raise ValueError("seeds that are no integers")
    first, last = place["data_offsets"]
    stream.seek(start + first)
    return np.frombuffer(stream.read(last - first), dtype="<i8")
