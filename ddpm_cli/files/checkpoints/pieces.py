"""Large models in several files, the field's way: pieces, and an index of what is where.

model-00001-of-00002.safetensors, ... and model.safetensors.index.json. One after the other the
pieces hold the tensors in the order of a single file, so that the hash is that of it.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ddpm_cli import streams
from ddpm_cli.errors import Refusal
from ddpm_cli.files import tensor_file
from ddpm_cli.files.tensor_file import Head
from ddpm_cli.foreign.signs import INDEX, PIECE

_LIMIT = 2**25  # bytes of an index


class BrokenPiece(ValueError):
    """What is wrong with a piece; path: where it is."""

    def __init__(self, path: Path, why: object) -> None:
        super().__init__(why)
        self.path = path


class Index(NamedTuple):
    """The metadata of a model in pieces, and the file of each tensor by its name."""

    metadata: dict[str, str]
    places: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The files in their order."""
        return sorted(set(self.places.values()))


def index_of(model: Path) -> Path:
    """Where the index of a model is: model.safetensors -> model.safetensors.index.json."""
    return model.with_name(model.name + INDEX)


def is_index(path: Path) -> bool:
    """Whether a path is that of an index."""
    return path.name.endswith(INDEX)


def is_piece(path: Path) -> bool:
    """Whether a path has the name of a piece."""
    return PIECE.fullmatch(path.name) is not None


def files(path: Path) -> list[Path]:
    """The files that hold the tensors of a checkpoint, which may be an index, in their order."""
    if not is_index(path):
        return [path]
    with path.open("rb") as file:
        return [path.with_name(name) for name in read(file).names]


def read(file: BinaryIO) -> Index:
    """Read an index; ValueError says what is wrong."""
    try:
        found = json.loads(file.read(_LIMIT).decode())
        metadata, places = found["metadata"], found["weight_map"]
        whole = all(isinstance(name, str) and PIECE.fullmatch(name) for name in places.values())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        whole = False
    if not whole or not isinstance(metadata, dict) or not places:
        raise ValueError("it is no index of files beside it")
    return Index({key: text for key, text in metadata.items() if isinstance(text, str)}, places)


def opened(path: Path, file: BinaryIO, stack: ExitStack) -> tuple[Head, list[BinaryIO]]:
    """The head of all pieces of an open index, as if they were one file, and these to read on in.

    ValueError says what is wrong with the index, BrokenPiece with a piece.
    """
    metadata, places = index = read(file)
    layouts: list[Mapping[str, Any]] = []
    parts: list[BinaryIO] = []
    for name in index.names:
        place = path.with_name(name)
        streams.refuse_special(place)
        try:
            parts.append(stack.enter_context(place.open("rb")))
            layouts.append(tensor_file.read(parts[-1]).layout)
        except FileNotFoundError:
            fix = f"{path.name} lists {len(index.names)} files: copy or download this one, too"
            raise Refusal(f"{place}: no such piece of the model", fix) from None
        except ValueError as error:
            raise BrokenPiece(place, error) from None
        if layouts[-1].keys() != {tensor for tensor, held in places.items() if held == name}:
            raise ValueError(f"{name} does not hold what it lists")
    return Head(joined(layouts), metadata), parts


def told(path: Path) -> Refusal | None:
    """The refusal of a piece that was given for the model; None of any other file."""
    if not is_piece(path):
        return None
    what = f"{path}: a piece of a model"
    for index in sorted(path.parent.glob(f"*{INDEX}")):
        with suppress(OSError, ValueError), index.open("rb") as file:
            if path.name in read(file).names:
                return Refusal(what, f"give the model's index: {shlex.quote(str(index))}")
    return Refusal(what, f"give the file that lists all pieces, *.safetensors{INDEX}, beside them")


def written(entries: Mapping[str, str], places: Mapping[str, str], size: int) -> bytes:
    """The bytes of an index; size: of all tensors."""
    found = {"metadata": {**entries, "total_size": size}, "weight_map": dict(places)}
    return json.dumps(found, indent=2, sort_keys=True).encode()


def joined(layouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The layout of all pieces, as if they were one file; ValueError if two share a name."""
    whole: dict[str, Any] = {}
    end = 0
    for layout in layouts:
        if whole.keys() & layout.keys():
            raise ValueError("two of its files hold the same tensor")
        for name, entry in layout.items():
            whole[name] = {**entry, "data_offsets": [end + at for at in entry["data_offsets"]]}
        end += max((entry["data_offsets"][1] for entry in layout.values()), default=0)
    return whole


def dealt(layout: Mapping[str, Any], limit: int) -> list[list[str]]:
    """Names in their order, in pieces of at most `limit` bytes, or of one tensor."""
    pieces: list[list[str]] = [[]]
    size = 0
    for name, entry in layout.items():
        first, last = entry["data_offsets"]
        if pieces[-1] and size + last - first > limit:
            pieces.append([])
            size = 0
        pieces[-1].append(name)
        size += last - first
    return pieces


def name(model: Path, number: int, count: int) -> str:
    """The name of piece `number` of `count`, from 1: model-00001-of-00003.safetensors."""
    return f"{model.stem}-{number:05d}-of-{count:05d}.safetensors"


def remove(model: Path, kept: Sequence[str] = ()) -> None:
    """Remove the pieces of a model that are not among those kept, and, of none kept, the index."""
    if not kept:
        index_of(model).unlink(missing_ok=True)
    for path in model.parent.glob(f"{model.stem}-*-of-*.safetensors"):
        if PIECE.fullmatch(path.name) and path.name not in kept:
            path.unlink(missing_ok=True)
