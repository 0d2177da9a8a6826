"""Checkpoints: one safetensors file whose header holds everything needed to use the weights."""

import json
import struct
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli.files import atomic
from ddpm_cli.files.checkpoints.header import ENTRY, Header, corrupt, digest, read_header


def save(path: Path, tensors: dict[str, Tensor], header: Header) -> Header:
    """Write tensors and header in one atomic move; return the header with its hash.

    Equal tensors and settings give equal bytes: no time, host or path is in the file.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    fields = header.fields()
    plain = memoryview(safetensors.save(tensors))
    start = 8 + struct.unpack("<Q", plain[:8])[0]
    running = digest(fields, json.loads(bytes(plain[8:start])))
    running.update(plain[start:])
    fields["hash"] = running.hexdigest()
    entry = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    atomic.write(path, safetensors.save(tensors, {ENTRY: entry}))
    return header._replace(hash=fields["hash"])


def load(path: Path, device: str = "cpu") -> tuple[Header, dict[str, Tensor]]:
    """Read header and tensors straight onto a device, and verify hash and finiteness."""
    header = read_header(path, verify=True)
    try:
        tensors = safetensors.load_file(path, device=device)
    except SafetensorError as error:
        raise corrupt(path, error) from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise corrupt(path, f"{name} has values that are not finite")
    return header, tensors
