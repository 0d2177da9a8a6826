"""The head of a safetensors file, read and made without torch: metadata, and what lies where.

Eight bytes of length, that many bytes of JSON, the tensors: github.com/huggingface/safetensors
"""

import json
import math
import os
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple

LIMIT = 2**25  # bytes of a header; parsed, they take ten times as much and more
AXES_LIMIT = 64  # of a tensor, as in torch
METADATA = "__metadata__"
# In which order safetensors' own writer lays out tensors: by type, then by name.
_WIDE, _NARROW = ("U64", "I64", "F64", "C64", "F32", "U32", "I32"), ("I8", "U8", "BOOL")
_ORDER = (*_WIDE, "BF16", "F16", "U16", "I16", *_NARROW)
_TYPE = re.compile(r"(?:BF|[FIUC])(4|6|8|16|32|64)(?:_E\dM\d)?")


class Head(NamedTuple):
    """`layout` holds dtype, shape and data_offsets of each tensor, by its name."""

    layout: dict[str, Any]
    metadata: dict[str, str]


def planned(kinds: Mapping[str, tuple[str, Sequence[int]]]) -> dict[str, Any]:
    """The layout of tensors of these dtypes and shapes, in the order in which they lie."""
    layout, end = {}, 0
    for name in sorted(kinds, key=lambda name: (_ORDER.index(kinds[name][0]), name)):
        dtype, shape = kinds[name][0], list(kinds[name][1])
        first, end = end, end + _bits(dtype, shape) // 8
        layout[name] = {"dtype": dtype, "shape": shape, "data_offsets": [first, end]}
    return layout


def written(head: Head) -> bytes:
    """The bytes of a file before its first tensor, which begins at a multiple of eight."""
    entries = {METADATA: head.metadata, **head.layout} if head.metadata else head.layout
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def read(stream: BinaryIO) -> Head:
    """Read the head of an open file up to its first tensor; ValueError says what is wrong."""
    prefix = stream.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
    if length > LIMIT:
        raise ValueError(f"its header would have {length} bytes")
    text = stream.read(length)
    if not length or len(text) < length:
        raise ValueError("it ends within its header")
    layout = _parsed(text)
    metadata = layout.pop(METADATA, None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("the metadata of its header are no texts")
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)
    if (end := _end(layout)) != size:
        raise ValueError(f"{size} bytes follow its header, which speaks of {end}")
    return Head(layout, metadata)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        layout = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ValueError("its header is no JSON") from None
    if not isinstance(layout, dict):
        raise ValueError("its header is no JSON object")
    return layout


def _end(layout: Mapping[str, Any]) -> int:
    """Where the last tensor ends; each begins where the one before ends."""
    end = 0
    try:
        for entry in sorted(layout.values(), key=lambda entry: entry["data_offsets"]):
            first, last = entry["data_offsets"]
            if first != end or 8 * (last - first) != _bits(entry["dtype"], entry["shape"]):
                raise ValueError
            end = last
    except (KeyError, TypeError, ValueError):
        raise ValueError("its tensors do not lie as its header says") from None
    return end


def _bits(dtype: str, shape: list[int]) -> int:
    """The size of a tensor; ValueError if there is none of this type or shape."""
    kind = _TYPE.fullmatch("U8" if dtype == "BOOL" else dtype)
    counts = len(shape) <= AXES_LIMIT and all(
        type(side) is int and 0 <= side < 2**63 for side in shape
    )
    if kind is None or not counts:
        raise ValueError
    return int(kind[1]) * math.prod(shape)
