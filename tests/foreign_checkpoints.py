"""Foreign checkpoints of golden/formats: unpacked, converted in process, and compared."""

import json
import lzma
import zlib
from pathlib import Path
from typing import Any

import torch
from golden.load_golden import FOLDER
from runs import done
from safetensors.torch import load_file
from torch import Tensor

import ddpm_cli
from ddpm_cli.api.model import Model

FORMATS = FOLDER / "formats"


def described(name: str) -> dict[str, Any]:
    """What config.json says of a fixture."""
    text = (FORMATS / name / "config.json").read_text(encoding="utf-8")
    told: dict[str, Any] = json.loads(text)
    return told


def numbers(name: str) -> dict[str, Tensor]:
    """Inputs and outputs of a fixture."""
    return load_file(FORMATS / name / "io.safetensors")


def unpacked(name: str, folder: Path, number: int = 0) -> Path:
    """The peer's file of a fixture as the peer wrote it, in a folder."""
    entry = described(name)["files"][number]
    stored = FORMATS / name / entry.get("stored_as", entry["file"])
    path = folder / entry["file"]
    if not path.exists():
        raw = stored.read_bytes()
        path.write_bytes(lzma.decompress(raw) if stored.suffix == ".xz" else raw)
    return path


def converted(source: Path, *words: str) -> Model:
    """The model of a foreign file, by `ddpm convert` in this process."""
    output = source.with_name(f"{source.stem}-{zlib.crc32(repr(words).encode())}.safetensors")
    if not output.exists():
        done("convert", source, "-o", output, *words)
    return ddpm_cli.load(output)


def assert_outputs(
    model: Model,
    x: Tensor,
    label: Tensor,
    classes: Tensor | None,
    want: tuple[Tensor, Tensor],
    atol: tuple[float, float] = (1e-4, 1e-8),
) -> None:
    """The raw network gives the outputs of the peer in float32, and in float64."""
    network = model.network
    with torch.no_grad():
        single = network(x.float(), label.float(), classes)
        double = network.double()(x.double(), label.double(), classes)
    assert want[0].abs().max() > 0.1, "not all 0"
    assert (single - want[0]).abs().max() <= atol[0]
    assert (double - want[1]).abs().max() <= atol[1]
