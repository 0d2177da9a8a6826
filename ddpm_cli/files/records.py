"""What all outputs share: how seeds are written, and what a file says of its own making."""

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ddpm_cli.errors import Refusal
from ddpm_cli.files import array_file, tensor_file

METADATA_KEY = "ddpm"
SIZE_LIMIT = 2**24  # bytes of a record

Record = Mapping[str, Any]
Names = Callable[[Sequence[int]], Sequence[str] | None]
Alone = Callable[[int], Record]  # what a record says of the sample of a seed alone, see `each`

# What a record says that samples are told beside a class; of several samples in a file, where
# these differ, a list of that key has one for each.
TOLD = {"text": "texts", "values": "numbers"}


def each(told: Sequence[Record], record: Record) -> dict[str, Any]:
    """What a record of several samples says of each, by what it says of each of them alone.

    record: what it says of all; what is true of all needs no list.
    """
    found = {}
    for key, many in TOLD.items():
        listed = [own.get(key) for own in told]
        if any(one != record.get(key) for one in listed):
            found[many] = listed
    return found


def alone(record: Record, row: int) -> dict[str, Any]:
    """What a record of several samples says that one of them is told."""
    found = {key: record[key] for key in TOLD if key in record}
    for key, many in TOLD.items():
        listed = record.get(many)
        if isinstance(listed, list) and row < len(listed):
            found[key] = listed[row]
    return found


def compact(seeds: Sequence[int]) -> str:
    """Seeds as --seeds takes them: [0, 1, 2, 40] is "0-2,40"."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][1] + 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def finite(text: str) -> float:
    """A number of JSON; ValueError if it is none that can be written again."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number")
    return number


def parsed(text: str) -> dict[str, Any]:
    """A record as it is written into files; {} if the text is none."""
    try:
        record = json.loads(text, parse_float=finite, parse_constant=finite)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def of_samples(path: Path) -> dict[str, Any] | None:
    """What a .safetensors or .npz file of samples says of its making; None of a checkpoint."""
    if path.suffix == ".npz":
        return _archived(path)
    try:
        with path.open("rb") as file:
            text = tensor_file.read(file).metadata.get(METADATA_KEY, "")
    except ValueError:
        return None  # whoever reads it as a checkpoint says what is wrong with it
    record = parsed(text)
    return record if "command" in record else None


def _archived(path: Path) -> dict[str, Any]:
    """What an .npz file of samples says of its making."""
    try:
        record = parsed(_text_of(path))
    except (OSError, KeyError, *array_file.DAMAGED):
        record = {}
    if not record:
        if damaged := array_file.damage(path):
            raise damaged
        raise Refusal(f"{path}: no ddpm made this file, or it is corrupt")
    return record


def _text_of(path: Path) -> str:
    """The text of the record in an .npz file, unpacked within limits; ValueError if it is none.

    A header of NumPy that claims more than is there is not followed.
    """
    import numpy as np

    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{METADATA_KEY}.npy")
        if entry.file_size > SIZE_LIMIT:
            what = f"{entry.file_size} bytes; the limit for a record is {SIZE_LIMIT}"
            raise Refusal(f"{path}: {entry.filename} has {what}")
        stored = archive.read(entry)  # no more than it declares
    stream = io.BytesIO(stored)
    version = np.lib.format.read_magic(stream)
    read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, _, kind = read[version[0]](stream)
    if shape != () or kind.kind != "U" or kind.itemsize != len(stored) - stream.tell():
        raise ValueError("no text")
    return str(np.frombuffer(stored, kind, 1, stream.tell())[0])
