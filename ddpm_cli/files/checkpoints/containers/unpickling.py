"""Read a pickle as data: tensors, plain containers and inert records, and nothing else.

A pickle is a program whose only dangerous steps fetch a name and call it. Here every name that
is not in the short list below is refused, and what the list gives builds plain values alone.
"""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import torch
from torch import Tensor

NESTED = 4  # pickles within the bytes of pickles
# The first three pickles of a file of torch before 1.6 are this number, a version and a dict.
MAGIC = 0x1950A86A20F9469CFC6C
LEGACY = pickle.dumps(MAGIC, protocol=2)
_TYPES = {
    "Double": torch.float64, "Float": torch.float32, "Half": torch.float16,
    "BFloat16": torch.bfloat16, "Long": torch.int64, "Int": torch.int32, "Short": torch.int16,
    "Char": torch.int8, "Byte": torch.uint8, "Bool": torch.bool, "Untyped": torch.uint8,
}  # fmt: skip


class Forbidden(ValueError):
    """A pickle asks for a name that no weights need."""

    def __init__(self, name: str) -> None:
        super().__init__(f"it asks for {name}")
        self.name = name


class Record:
    """An object of another program: the name of its class, what it was made of, its state."""

    kind = ""
    args: tuple[Any, ...] = ()
    state: Any = None

    def __init__(self, *args: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"Record({self.kind})"


class Items(dict[Any, Any]):
    """A dictionary of a class of another program."""


class Kind:
    """The type of a storage that a pickle names."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype


def record(kind: str, *args: Any) -> Record:
    """An inert object of the class of this name."""
    return _inert(kind)(*args)


def _inert(kind: str) -> type[Record]:
    """A class that is called like another program's and does nothing."""
    return type("Record", (Record,), {"kind": kind})


def tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    """A tensor over a storage, which must hold all of it."""
    if not isinstance(storage, Tensor):
        raise ValueError("a tensor has no storage")
    return torch.as_strided(storage, tuple(size), tuple(stride), offset)


def _persistent(meta: Any) -> Record:
    """An object of NVIDIA's persistence: its state, without running its source."""
    if not isinstance(meta, Mapping):
        raise ValueError("a persistent object without entries")
    made = record(str(meta.get("class_name", "")))
    made.state = meta.get("state")
    return made


def _latin(text: str, encoding: str = "latin1") -> bytes:
    """How pickles of Python 3 spell bytes for those of Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes in {encoding}")
    return text.encode("latin1")


def _scalar(dtype: Any, data: Any = b"") -> Any:
    """A number of numpy, if its type is plain; a record of anything else."""
    code = dtype.args[0] if isinstance(dtype, Record) and dtype.args else ""
    plain = {"f8": "d", "f4": "f", "i8": "q", "i4": "i", "u1": "B", "b1": "?", "i2": "h"}
    if code not in plain or not isinstance(data, bytes):
        return record("numpy.scalar", dtype, data)
    return struct.unpack(f"<{plain[code]}", data)[0]


def _parameter(data: Any, *_: Any) -> Any:
    return data


_PLAIN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _latin,
    ("torch", "Size"): tuple,
    ("torch._utils", "_rebuild_tensor_v2"): tensor,
    ("torch._utils", "_rebuild_tensor"): tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("dnnlib.util", "EasyDict"): Items,
}
_RECORDS = {
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"), ("argparse", "Namespace"), ("torch", "device"),
}  # fmt: skip


class Reader(pickle.Unpickler):
    """An unpickler that knows no names but those of weights; storages: what the file holds."""

    def __init__(
        self, stream: BinaryIO, storages: Callable[[Any], Tensor] | None = None, depth: int = 0
    ) -> None:
        super().__init__(stream)
        self._storages, self._depth = storages, depth

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name; Forbidden if it is none of weights."""
        if (module, name) in _PLAIN:
            return _PLAIN[module, name]
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return self._from_bytes
        if module in ("torch", "torch.storage") and name.endswith("Storage"):
            dtype = _TYPES.get(name.removesuffix("Storage"))
            if dtype is not None:
                return Kind(dtype)
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        if (module, name) in _RECORDS or module.startswith("torch.nn.modules."):
            return _inert(f"{module}.{name}")
        raise Forbidden(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """The storage that a pickle refers to."""
        if self._storages is None:
            raise ValueError("it refers to storages that it does not hold")
        return self._storages(pid)

    def _from_bytes(self, data: Any) -> Any:
        if self._depth >= NESTED or not isinstance(data, bytes):
            raise ValueError("pickles nested too deeply")
        return legacy(io.BytesIO(data), self._depth + 1)


def plain(stream: BinaryIO) -> Any:
    """What a plain pickle holds."""
    return Reader(stream).load()


def legacy(stream: BinaryIO, depth: int = 0) -> Any:
    """What a file of torch.save before 1.6 holds: pickles, and then the bytes of storages."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    kept: dict[str, Tensor] = {}

    def storage(pid: Any) -> Tensor:
        kind, key, count = pid[1], str(pid[2]), int(pid[4])
        view = pid[5] if len(pid) > 5 else None
        if not isinstance(kind, Kind) or not 0 <= count * kind.dtype.itemsize <= size:
            raise ValueError("a storage larger than the file")
        if key not in kept:
            kept[key] = torch.zeros(count, dtype=kind.dtype)
        return kept[key] if view is None else kept[key][view[1] : view[1] + view[2]]

    if Reader(stream, depth=depth).load() != MAGIC:
        raise ValueError("no file of torch")
    for _ in range(2):
        Reader(stream, depth=depth).load()
    tree = Reader(stream, storage, depth).load()
    for key in Reader(stream, depth=depth).load():
        _fill(kept[str(key)], stream)
    return tree


def _fill(storage: Tensor, stream: BinaryIO) -> None:
    """Read the bytes of a storage: its length in numbers, then all of them."""
    (count,) = struct.unpack("<q", stream.read(8))
    data = stream.read(storage.nbytes)
    if count != len(storage) or len(data) != storage.nbytes:
        raise ValueError("a storage is cut")
    if data:
        storage.copy_(torch.frombuffer(bytearray(data), dtype=storage.dtype))
