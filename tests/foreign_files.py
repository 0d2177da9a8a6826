"""Tiny files of other programs, as people first give them: made here, byte by byte."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 133466304\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(88)
MAT = b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(124) + b"\x00\x01IM" + bytes(64)
DICOM = bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + bytes(64)
NIFTI = struct.pack("<i", 348) + bytes(340) + b"n+1\x00" + bytes(64)
FITS = b"SIMPLE  =                    T / conforms to FITS standard".ljust(2880)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n"
MP4 = b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + bytes(64)
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)
AVIF = b"\x00\x00\x00\x18ftypavif\x00\x00\x00\x00avifmif1" + bytes(64)
WAV = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(64)
MP3 = b"ID3\x04\x00" + bytes(64)
SEVENZIP = b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(64)
RAR = b"Rar!\x1a\x07\x01\x00" + bytes(64)
ZSTD = b"\x28\xb5\x2f\xfd\x04" + bytes(64)
XZ = b"\xfd7zXZ\x00\x00\x04" + bytes(64)
GGUF = b"GGUF\x03\x00\x00\x00" + bytes(64)
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:" + bytes(64)
PARQUET = b"PAR1" + bytes(64) + b"PAR1"
ARROW = b"ARROW1\x00\x00" + bytes(64)
SQLITE = b"SQLite format 3\x00" + bytes(64)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>\n'
PSD = b"8BPS\x00\x01" + bytes(64)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n"
EXR = b"\x76\x2f\x31\x01\x02\x00\x00\x00" + bytes(64)
JXL = b"\x00\x00\x00\x0cJXL \r\n\x87\n" + bytes(64)
JP2 = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(64)
RAW_CR2 = b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(64)
MSGPACK = b"\x82\xa6params\x81\xa6Conv_0\x80\xa4step\x00"
FLAX = b"\x83\xa6params\x81" + bytes(64)
TFRECORD = struct.pack("<Q", 40) + b"\x12\x34\x56\x78" + b"\n\x26\n\x24\n\x05image" + bytes(40)
YAML = (
    b"model:\n  base_learning_rate: 1.0e-04\n  target: ldm.models.diffusion.ddpm.LatentDiffusion\n"
)
CIFAR_PICKLE = pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 1]}, 2)


def png(size: tuple[int, int] = (8, 8), mode: str = "RGB", kind: str = "PNG") -> bytes:
    """An image of a few grey levels."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(stream, kind)
    return stream.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return stream.getvalue()


def tarred(files: Mapping[str, bytes], mode: str = "w") -> bytes:
    """A tar archive, with mode "w:gz" a compressed one."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as file:  # type: ignore[call-overload]
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def gzipped(data: bytes) -> bytes:
    """The same, compressed."""
    return gzip.compress(data)


def npy(values: ArrayLike) -> bytes:
    """An array of NumPy."""
    stream = io.BytesIO()
    np.save(stream, np.asarray(values), allow_pickle=True)
    return stream.getvalue()


def npz(**values: ArrayLike) -> bytes:
    """Several arrays of NumPy."""
    stream = io.BytesIO()
    np.savez(stream, **{name: np.asarray(value) for name, value in values.items()})
    return stream.getvalue()


def idx(*shape: int) -> bytes:
    """Bytes in the format of MNIST."""
    head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
    return head + bytes(int(np.prod(shape)))


def pytorch(value: object, *, is_old: bool = False) -> bytes:
    """What torch.save writes, today or before version 1.6."""
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=not is_old)
    return stream.getvalue()


def safetensors(names: Sequence[str], metadata: Mapping[str, str] | None = None) -> bytes:
    """A safetensors file of single numbers with these names."""
    head: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for number, name in enumerate(names):
        place = [4 * number, 4 * number + 4]
        head[name] = {"dtype": "F32", "shape": [1], "data_offsets": place}
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + bytes(4 * len(names))


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files; a name that ends in a slash is an empty folder."""
    for name, data in files.items():
        place = folder / name
        (place if name.endswith("/") else place.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            place.write_bytes(data)
