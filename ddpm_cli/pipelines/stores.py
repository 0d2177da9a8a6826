"""Where samples lie that were drawn before: pictures, and rows of arrays in files."""

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from ddpm_cli.data.sources import Archive
from ddpm_cli.errors import Refusal
from ddpm_cli.files import records, tensor_file
from ddpm_cli.files.images import lossy, pixels
from ddpm_cli.files.records import METADATA_KEY, Record
from ddpm_cli.settings.seeds import LIMIT

ARRAYS = (".npz", ".npy", ".safetensors")
NAMES = ("images", "samples", "arr_0")  # of the array in an .npz file
BLOCK = 2**20
CHANNELS = (1, 3, 4)
DIGITS = 6  # of a name that is a seed, see targets.seed_name
FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Source(Protocol):
    """Where the pixels or numbers of one sample are."""

    def values(self) -> Tensor:
        """Pixels uint8 or int32 [C,H,W] in the scale of the file, or floats [...]."""

    def data(self) -> bytes | None:
        """The bytes of a picture as they are; None of a row of an array."""


class Sample(NamedTuple):
    """One sample that is there.

    place: what messages call it; kind: of its pixels, as L or I;16, or of its numbers, as float32;
    label: its class; input: what it is an edit of; record: what its file says of all in it.
    """

    place: str
    name: str
    folder: str
    kind: str
    shape: tuple[int, ...]
    source: Source
    record: Record
    seed: int | None = None
    label: str | None = None
    input: str | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it is pixels, and not numbers."""
        return not self.kind.startswith(("float", "bfloat"))

    @property
    def entry(self) -> Record:
        """All that is known of it."""
        own = {"name": self.name, "file": Path(self.place).name, "folder": self.folder}
        return {**self.record, **own, "seed": self.seed, "class": self.label, "input": self.input}


class Picture(NamedTuple):
    """A picture of a mode in a file, or in an archive."""

    path: str
    mode: str
    archive: Archive | None = None

    def values(self) -> Tensor:
        """Its pixels, in its mode."""
        image, _ = pixels.decoded(io.BytesIO(self.data()), name=self.path)
        return pixels.from_pillow(image)

    def data(self) -> bytes:
        """Its bytes."""
        if self.archive is None:
            return Path(self.path).read_bytes()
        with self.archive.open(self.path) as stream:
            return stream.read()


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


class Shelf:
    """What samples share: records, each kept once, and arrays that had to be unpacked."""

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}
        self._count = 0

    def __enter__(self) -> "Shelf":
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove what was unpacked."""
        self._folder.cleanup()

    def unpacked(self, member: IO[bytes]) -> Path:
        """An entry of an archive as a file."""
        self._count += 1
        path = Path(self._folder.name, str(self._count))
        with path.open("wb") as file:
            shutil.copyfileobj(member, file)
        return path

    def shared(self, record: Mapping[str, Any]) -> Record:
        """What a record says of all samples that were made together."""
        own = ("seeds", "classes", "inputs", "quality", "frame", "error")
        rest = {key: value for key, value in record.items() if key not in own}
        return self._records.setdefault(json.dumps(rest, sort_keys=True), rest)


def picture(path: str, shelf: Shelf, archive: Archive | None = None) -> Sample:
    """A picture, decoded once, so that a damaged one is refused here."""
    place = path if archive is None else archive.place(path)
    data = Picture(path, "", archive).data()
    image, _ = pixels.decoded(io.BytesIO(data), name=place)
    record = pixels.carried(image) or lossy.read_record(image)
    seeds, classes = _listed(record), record.get("classes") or [record.get("class")]
    stem, inputs = Path(path).stem, record.get("inputs")
    seed = seeds[0] if len(seeds) == 1 and "frame" not in record else None
    if not record and stem.isdecimal() and len(stem) >= DIGITS and int(stem) < LIMIT:
        seed = int(stem)
    return Sample(
        place,
        stem,
        Path(place).parent.name or ".",
        image.mode,
        (len(image.getbands()), image.height, image.width),
        Picture(path, image.mode, archive),
        shelf.shared(record),
        seed,
        None if classes[0] is None or len(classes) > 1 else str(classes[0]),
        " ".join(map(str, inputs)) if isinstance(inputs, list) and inputs else None,
    )


def _listed(record: Record) -> Sequence[int]:
    """The seeds that a record lists, as far as it matters whether there is one."""
    text = str(record.get("seeds", ""))
    return [int(text)] if text.isdecimal() and int(text) < LIMIT else [0, 0] if text else []


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
                raise Refusal(f"{path}: no samples in it, but {there}")
            array = _member(path, archive, f"{name}.npy", shelf)
            if name == "arr_0" and len(array.shape) == 4:  # of OpenAI's evaluator, [N,H,W,C]
                array = array._replace(is_last=array.shape[3] in CHANNELS)
        with np.load(path, allow_pickle=False) as loaded:
            seeds = loaded["seeds"] if "seeds" in names else None
            label = next((key for key in ("classes", "arr_1") if key in names), None)
            classes = None if label is None else loaded[label].reshape(-1)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno:
            raise
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
