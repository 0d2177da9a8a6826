"""Samples that were drawn before, and where they lie; those that are pictures."""

import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple, Protocol

from torch import Tensor

from ddpm_cli.data.sources import Archive
from ddpm_cli.files import records
from ddpm_cli.files.images import lossy, pixels
from ddpm_cli.files.records import Record
from ddpm_cli.settings.seeds import LIMIT

BLOCK = 2**20
DIGITS = 6  # of a name that is a seed, see targets.seed_name


class Source(Protocol):
    """Where the pixels or numbers of one sample are."""

    def values(self) -> Tensor:
        """Pixels uint8 or int32 [C,H,W] in the scale of the file, or floats [...]."""

    def data(self) -> bytes | None:
        """The bytes of a picture as they are; None of a row of an array."""


class Sample(NamedTuple):
    """One sample that is there.

    place: what messages call it; kind: of its pixels, as L or I;16, or of its numbers, as float32;
    label: its class; input: what it is an edit of; record: what its file says of all in it; told:
    what it says that this one is told beside a class.
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
    told: Record = MappingProxyType({})

    @property
    def is_picture(self) -> bool:
        """Whether it is pixels, and not numbers."""
        return not self.kind.startswith(("float", "bfloat"))

    @property
    def entry(self) -> Record:
        """All that is known of it."""
        own = {"name": self.name, "file": Path(self.place).name, "folder": self.folder}
        return {
            **self.record,
            **self.told,
            **own,
            "seed": self.seed,
            "class": self.label,
            "input": self.input,
        }


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
        own = ("seeds", "classes", "inputs", "quality", "frame", "error", *records.TOLD.values())
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
        records.alone(record, 0) if len(seeds) == 1 else {},
    )


def _listed(record: Record) -> Sequence[int]:
    """The seeds that a record lists, as far as it matters whether there is one."""
    text = str(record.get("seeds", ""))
    return [int(text)] if text.isdecimal() and int(text) < LIMIT else [0, 0] if text else []
