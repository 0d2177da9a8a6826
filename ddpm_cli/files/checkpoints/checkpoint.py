"""Checkpoints: one safetensors file whose header holds everything needed to use the weights.

The file's only metadata entry is a JSON object with a format number, the resolved configuration,
what the data looked like, the step and a SHA-256 over all of it and the tensors.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli import __version__
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import atomic
from ddpm_cli.settings.config import Config, from_json, purpose

FORMAT = 1
ENTRY = "ddpm"
SIDE_LIMIT = 2**16  # pixels or channels: more than any network takes
_CHUNK = 1 << 22


class DataInfo(NamedTuple):
    """What a network was trained on: enough to sample without the data.

    mean, std: what normalized arrays, one number for each index of their first axis; None for
    images, whose values lie in [-1, 1].
    """

    shape: tuple[int, ...]
    classes: tuple[str, ...] | None = None
    frequencies: tuple[float, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def is_image(self) -> bool:
        """Whether the data are images rather than arrays in units of their own."""
        return self.mean is None

    def restore(self, x: Tensor) -> Tensor:
        """Values x [B, ...] of a network as float32 in the units of the data, on the CPU."""
        if self.mean is None or self.std is None:
            return x.detach().cpu().float()
        wide = [-1, *[1] * (x.ndim - 2)]
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (self.mean, self.std))
        restored = x.detach().cpu().double() * std.reshape(wide) + mean.reshape(wide)
        return restored.float()


class Header(NamedTuple):
    """The header of a checkpoint; `kind` says what the tensors are.

    "model" (weights to use), "state" (to resume from), "moments" or "latents" (see the files of
    these names); fitted: how moments and latents were made, and the model that they belong to.
    """

    kind: str
    config: Config
    data: DataInfo
    step: int
    threads: int = 0
    hash: str = ""
    version: str = __version__
    fitted: Mapping[str, Any] | None = None

    @property
    def task(self) -> str:
        """What it was trained for ("inpaint", "classifier"); empty for an unconditional model."""
        return purpose(self.config)


def save(path: Path, tensors: dict[str, Tensor], header: Header) -> Header:
    """Write tensors and header in one atomic move; return the header with its hash.

    Equal tensors and settings give equal bytes: no time, host or path is in the file.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    fields = _fields(header)
    plain = memoryview(safetensors.save(tensors))
    start = 8 + struct.unpack("<Q", plain[:8])[0]
    digest = _seed(fields, json.loads(bytes(plain[8:start])))
    digest.update(plain[start:])
    fields["hash"] = digest.hexdigest()
    entry = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    atomic.write(path, safetensors.save(tensors, {ENTRY: entry}))
    return header._replace(hash=fields["hash"])


def read_header(path: Path, *, verify: bool = False) -> Header:
    """Read the header alone; to `verify` its checksum the tensors are read, but not kept."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise _corrupt(path, error) from None
    if ENTRY not in metadata:
        why = "it is a safetensors file of another program"
        raise Refusal(f"{path}: no ddpm checkpoint: {why}")
    try:
        fields = json.loads(metadata[ENTRY])
        number = fields["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _corrupt(path, "its header is no ddpm header") from None
    if not isinstance(number, int) or number < 1:
        raise _corrupt(path, "its header has no format number")
    if number > FORMAT:
        fix = "update ddpm: pip install -U ddpm-cli"
        raise Refusal(f"{path}: written by a newer ddpm (format {number})", fix)
    header = _parse(path, fields)
    if verify and _digest(path) != header.hash:
        raise _corrupt(path, "its contents do not match their checksum")
    return header


def load(path: Path, device: str = "cpu") -> tuple[Header, dict[str, Tensor]]:
    """Read header and tensors straight onto a device, and verify hash and finiteness."""
    header = read_header(path, verify=True)
    try:
        tensors = safetensors.load_file(path, device=device)
    except SafetensorError as error:
        raise _corrupt(path, error) from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise _corrupt(path, f"{name} has values that are not finite")
    return header, tensors


def _fields(header: Header) -> dict[str, Any]:
    fitted = {"fitted": dict(header.fitted)} if header.fitted is not None else {}
    return {
        **fitted,
        "format": FORMAT,
        "kind": header.kind,
        "config": header.config,
        "data": header.data._asdict(),
        "step": header.step,
        "threads": header.threads,
        "version": header.version,
    }


def _parse(path: Path, fields: dict[str, Any]) -> Header:
    try:
        data = fields["data"]
        classes, shares = data["classes"], data["frequencies"]
        info = DataInfo(
            tuple(map(int, data["shape"])),
            tuple(map(str, classes)) if classes else None,
            tuple(map(float, shares)) if shares else None,
            *_normalization(data),
        )
        if not info.shape or not all(0 < side <= SIDE_LIMIT for side in info.shape):
            raise ValueError
        config = from_json(json.dumps(fields["config"]), str(path))
        kind, digest, version = (str(fields[key]) for key in ("kind", "hash", "version"))
        numbers = (int(fields["step"]), int(fields["threads"]))
        fitted = dict(fields["fitted"]) if "fitted" in fields else None
    except ConfigError as error:
        raise _corrupt(path, error.problems[0]) from None
    except (KeyError, TypeError, ValueError, OverflowError):
        raise _corrupt(path, "its header has missing or wrong entries") from None
    return Header(kind, config, info, *numbers, digest, version, fitted)


def _normalization(data: dict[str, Any]) -> tuple[tuple[float, ...], ...]:
    """Mean and std of arrays; nothing for images and in headers from before there were arrays."""
    if data.get("mean") is None:
        return ()
    mean, std = (tuple(map(float, data[key])) for key in ("mean", "std"))
    whole = len(mean) == len(std) == data["shape"][0]
    if not whole or not all(map(math.isfinite, mean + std)) or min(std) <= 0:
        raise ValueError
    return mean, std


def _seed(fields: dict[str, Any], layout: dict[str, Any]) -> "hashlib._Hash":
    """Start a digest with the header: its own entries, and the name and place of each tensor."""
    text = json.dumps([fields, layout], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        layout = json.loads(file.read(length))
        fields = json.loads(layout.pop("__metadata__")[ENTRY])
        fields.pop("hash", None)
        digest = _seed(fields, layout)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _corrupt(path: Path, why: object) -> Refusal:
    return Refusal(f"{path}: corrupt: {why}")
