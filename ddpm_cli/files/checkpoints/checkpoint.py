"""Checkpoints: one safetensors file whose header holds everything needed to use the weights."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli.files import atomic, tensor_file
from ddpm_cli.files.checkpoints import pieces
from ddpm_cli.files.checkpoints.header import ENTRY, Header, corrupt, digest, read_header
from ddpm_cli.files.tensor_file import Head

Fetch = Callable[[Tensor], Tensor]


def save(
    path: Path, tensors: Mapping[str, Tensor], header: Header, fetch: Fetch = lambda tensor: tensor
) -> Header:
    """Write tensors and header in one atomic move; return the header with its hash.

    Equal tensors and settings give equal bytes: no time, host or path is in the file. Each tensor
    is fetched when its turn comes, in the order of `layout`, and is not kept.
    """
    places, fields = layout(tensors), header.fields()
    running = digest(fields, places)

    def head(checksum: str) -> bytes:
        return tensor_file.written(Head(places, _metadata(fields, checksum)))

    def write(stream: BinaryIO) -> None:
        stream.write(head("0" * len(running.hexdigest())))  # known when all is written
        _put(stream, tensors, places, running, fetch)
        stream.seek(0)
        stream.write(head(running.hexdigest()))

    atomic.write(path, write)
    return header._replace(hash=running.hexdigest())


def save_pieces(
    path: Path, tensors: Mapping[str, Tensor], header: Header, limit: int, fetch: Fetch
) -> Header:
    """Write as `save` does, but in files of at most `limit` bytes and the index of `path`.

    They get their names when all are whole, and the index comes last.
    """
    places, fields = layout(tensors), header.fields()
    running = digest(fields, places)
    parts = pieces.dealt(places, limit)
    names = [pieces.name(path, number, len(parts)) for number in range(1, len(parts) + 1)]
    coming = [path.with_name(f".{name}.tmp.whole") for name in names]
    try:
        for part, file in zip(parts, coming, strict=True):
            own = {name: tensors[name] for name in part}
            atomic.write(file, partial(_write_piece, own, running, fetch))
        for file, name in zip(coming, names, strict=True):
            file.replace(path.with_name(name))
    finally:
        for file in coming:
            file.unlink(missing_ok=True)
    where = {name: file for part, file in zip(parts, names, strict=True) for name in part}
    size = sum(tensor.nbytes for tensor in tensors.values())
    metadata = _metadata(fields, running.hexdigest())
    atomic.write(pieces.index_of(path), pieces.written(metadata, where, size))
    pieces.remove(path, names)
    return header._replace(hash=running.hexdigest())


def _write_piece(
    tensors: Mapping[str, Tensor], running: "hashlib._Hash", fetch: Fetch, stream: BinaryIO
) -> None:
    places = layout(tensors)
    stream.write(tensor_file.written(Head(places, {"format": "pt"})))
    _put(stream, tensors, places, running, fetch)


def _metadata(fields: Mapping[str, Any], checksum: str) -> dict[str, str]:
    """The only metadata of a checkpoint: the fields of its header, and its hash."""
    whole = {**fields, "hash": checksum}
    return {ENTRY: json.dumps(whole, sort_keys=True, separators=(",", ":"))}


def _put(
    stream: BinaryIO,
    tensors: Mapping[str, Tensor],
    places: Iterable[str],
    running: "hashlib._Hash",
    fetch: Fetch,
) -> None:
    """Write tensors in the order of their places, and count them into the hash."""
    for name in places:
        piece = _bytes(fetch(tensors[name]))
        running.update(piece)
        stream.write(piece)


def layout(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Where each tensor lies in a file, in their order there."""
    return tensor_file.planned({k: (_kind(v.dtype), v.shape) for k, v in tensors.items()})


def _kind(dtype: torch.dtype) -> str:
    """What safetensors call a dtype: float32 is F32."""
    name = str(dtype).removeprefix("torch.")
    return {"bool": "BOOL", "bfloat16": "BF16"}.get(name) or re.sub(
        "[a-z]+", name[0].upper(), name
    )


def _bytes(tensor: Tensor) -> memoryview:
    """The bytes of a tensor as a file holds them."""
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().data


def load(path: Path, device: str = "cpu") -> tuple[Header, dict[str, Tensor]]:
    """Read header and tensors straight onto a device, and verify hash and finiteness."""
    header = read_header(path, verify=True)
    try:
        tensors: dict[str, Tensor] = {}
        for file in pieces.files(path):
            tensors |= safetensors.load_file(file, device=device)
    except SafetensorError as error:
        raise corrupt(path, error) from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise corrupt(path, f"{name} has values that are not finite")
    return header, tensors
