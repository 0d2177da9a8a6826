"""Heads of safetensors files are read as the library reads them, and refused where it refuses."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors

from ddpm_cli.files import tensor_file
from ddpm_cli.files.checkpoints import checkpoint

ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def written(path: Path, header: Any, data: bytes = bytes(8)) -> Path:
    """A file with this header, whatever it is, and these bytes behind it."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def read(path: Path) -> tensor_file.Head | None:
    """Its head, or None if it is refused."""
    try:
        with path.open("rb") as file:
            return tensor_file.read(file)
    except ValueError:
        return None


def library(path: Path) -> tuple[dict[str, str], set[str]] | None:
    """Metadata and names as the library reads them, or None if it refuses the file."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, set(file.keys())
    except SafetensorError:
        return None


def agree(path: Path) -> bool:
    """Whether the file is read; both must say the same of it."""
    head, theirs = read(path), library(path)
    assert (head is None) == (theirs is None)
    if head is not None:
        assert (head.metadata, set(head.layout)) == theirs
    return head is not None


@pytest.mark.parametrize(
    "dtype",
    [
        torch.bool,
        torch.uint8,
        torch.int16,
        torch.int64,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.float8_e4m3fn,
        torch.complex64,
    ],
)
def test_every_type_of_number(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(3, 5).to(dtype), "b": torch.zeros(()).to(dtype)}
    safetensors.save_file(tensors, tmp_path / "a", {"x": "y"})
    with (tmp_path / "a").open("rb") as file:
        layout, metadata = tensor_file.read(file)
        assert len(file.read()) == sum(t.nbytes for t in tensors.values())
    assert metadata == {"x": "y"}
    assert {name: entry["shape"] for name, entry in layout.items()} == {"a": [3, 5], "b": []}


@pytest.mark.parametrize(
    "header",
    [
        {"a": ONE},
        {"a": ONE, "b": {"dtype": "F16", "shape": [0, 4], "data_offsets": [8, 8]}},
        {"__metadata__": {"x": "y"}, "a": {"dtype": "F64", "shape": [], "data_offsets": [0, 8]}},
        {"__metadata__": None, "a": ONE},
    ],
)
def test_whole_files(header: Any, tmp_path: Path) -> None:
    assert agree(written(tmp_path / "a", header))


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"a": {**ONE, "shape": [3]}},
        {"a": {**ONE, "shape": [2.0]}},
        {"a": {**ONE, "shape": [True, 2]}},
        {"a": {**ONE, "shape": [-2]}},
        {"a": {**ONE, "dtype": "F31"}},
        {"a": {**ONE, "dtype": 3}},
        {"a": {**ONE, "data_offsets": [0]}},
        {"a": {**ONE, "data_offsets": [8, 0]}},
        {"a": {**ONE, "data_offsets": ["0", "8"]}},
        {"a": ONE, "b": ONE},
        {"a": 1},
        {"__metadata__": {"x": 1}, "a": ONE},
        {"__metadata__": [], "a": ONE},
        [],
        b"",
        b"{",
        b"\xff\xfe{\0}\0",
        b'{"a": NaN}',
        b"[" * 10**5,
        b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": [0, 8]}}',
    ],
)
def test_broken_heads(header: Any, tmp_path: Path) -> None:
    assert not agree(written(tmp_path / "a", header))


@pytest.mark.parametrize("data", [b"", bytes(7), bytes(9)])
def test_missing_and_further_bytes(data: bytes, tmp_path: Path) -> None:
    assert not agree(written(tmp_path / "a", {"a": ONE}, data))


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**25 + 1, 2**63, 2**64 - 1])
def test_lengths_that_are_none(length: int, tmp_path: Path) -> None:
    path = written(tmp_path / "a", {"a": ONE})
    path.write_bytes(struct.pack("<Q", length) + path.read_bytes()[8:])
    assert not agree(path)


@given(st.binary(max_size=40))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    assert not agree(tmp_path / "a")


def test_files_are_laid_out_as_the_library_does_it(tmp_path: Path) -> None:
    kinds = (
        torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.float16,
        torch.bfloat16, torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64,
        torch.int64, torch.uint64,
    )  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"b": (3,), "a": (), 'c"é': (0, 2)}
    tensors = {
        f"{name}.{kind}": torch.ones(shape, dtype=kind)
        for kind in kinds
        for name, shape in shapes.items()
    }
    metadata = {"ddpm": '{"a":"\\u00e9 \x7f é"}'}
    layout = checkpoint.layout(tensors)
    bodies = b"".join(bytes(checkpoint._bytes(tensors[name])) for name in layout)
    head = tensor_file.written(tensor_file.Head(layout, metadata))
    assert head + bodies == safetensors.save(tensors, metadata)
