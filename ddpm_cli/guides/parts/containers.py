"""The container of an exported program (.pt2): a zip file of which raw numbers and JSON are read.

torch.export.load unpickles sample inputs, script objects and some weights, and loads compiled
libraries. Here nothing is unpickled or loaded: an archive that needs it is refused.
"""

import json
import math
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal, one_line
from ddpm_cli.guides.parts import graphs

BYTE_LIMIT = 2**34  # of a file
TEXT_LIMIT = 2**28  # of its JSON
ENTRY_LIMIT = 2**16
TENSOR_LIMIT = 2**32  # bytes of a tensor of the file
MODEL = "models/model.json"
TABLES = {
    "data/weights/": "data/weights/model_weights_config.json",
    "data/constants/": "data/constants/model_constants_config.json",
}
# Sample inputs are a pickle that a program does not need: they are allowed, and never read.
_KNOWN = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/sample_inputs/model\.pt|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|extra/.+",
    re.ASCII,
)
_REASONS = {
    "data/aotinductor/": "compiled code, which is not loaded",
    "data/constants/": "objects stored as pickles, which can run code and are never read",
    "data/weights/": "weights stored as pickles, which can run code and are never read",
    "serialized_exported_program.json": "the format of PyTorch before 2.8, which holds pickles",
    "constants.pkl": "TorchScript, whose code and pickles are never run",
    "code/": "TorchScript, whose code and pickles are never run",
    "data.pkl": "a pickle of PyTorch, which can run code and is never read",
}
FIX = (
    "make it with torch.export.save(torch.export.export(...), 'NAME.pt2') of PyTorch 2.10 or "
    "newer, of common layers"
)


class Container:
    """An open archive whose entries are all known; `entries` are by their names below the root."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        """Check the names and the sizes of all entries."""
        self.path, self._archive = path, archive
        self.entries = _entries(path, archive.infolist())
        if sys.byteorder != "little" or self.read("byteorder", 8) != b"little":
            raise refused(path, "numbers with the highest byte first")
        if self.read("archive_format", 8) != b"pt2" or self.read("archive_version", 8) != b"0":
            raise refused(path, "another version of the format than is known")

    def read(self, name: str, limit: int) -> bytes:
        """The bytes of an entry."""
        if name not in self.entries:
            raise refused(self.path, f"{name} is missing")
        if self.entries[name].file_size > limit:
            raise refused(self.path, f"{name} is larger than the limit of {limit} bytes")
        return self._archive.read(self.entries[name])

    def json(self, name: str) -> Any:
        """A JSON entry."""
        return json.loads(self.read(name, TEXT_LIMIT))

    def tensors(self, device: torch.device) -> dict[str, Tensor]:
        """All stored tensors by their names in the program, as they are laid out in memory."""
        found: dict[str, Tensor] = {}
        for folder, table in TABLES.items():
            payloads: dict[str, bytearray] = {}
            for name, payload in self.json(table)["config"].items():
                if payload["use_pickle"] is not False or payload["tensor_meta"] is None:
                    raise refused(self.path, f"{name} is {_REASONS[folder]}")
                place = folder + payload["path_name"]
                if place not in payloads:
                    payloads[place] = bytearray(self.read(place, TENSOR_LIMIT))
                tensor = _tensor(payloads[place], payload["tensor_meta"]).to(device)
                if payload["is_param"] and not bool(tensor.isfinite().all()):
                    raise refused(self.path, f"{name} has values that are not finite")
                found[name] = tensor
        return found


@contextmanager
def opened(path: Path) -> Iterator[Container]:
    """Open a program; whatever is wrong with the archive is a Refusal that names the file."""
    try:
        _refuse_other_files(path)
        with zipfile.ZipFile(path) as archive:
            yield Container(path, archive)
    except Refusal:
        raise
    except graphs.Unsupported as error:
        raise refused(path, str(error)) from None
    except OSError as error:
        raise Refusal(f"{path}: {error.strerror or error}") from None
    except (MemoryError, torch.OutOfMemoryError):
        raise Refusal(f"{path}: not enough memory to load this program") from None
    except zipfile.BadZipFile as error:
        raise refused(path, f"damaged: {error}") from None
    except Exception as error:  # zipfile raises many kinds on damage, and JSON may hold anything
        why = (str(error).splitlines() or [""])[0][:80]
        raise refused(path, f"damaged: {type(error).__name__}: {why}") from error


def refused(path: Path, why: str) -> Refusal:
    """The refusal of a file that is no program, or none that can be trusted."""
    return Refusal(f"{path}: {one_line(why)}", FIX)


def _refuse_other_files(path: Path) -> None:
    if path.is_dir() or (path.exists() and not path.is_file()):  # a pipe could block for ever
        raise Refusal(f"{path}: not a regular file")
    with path.open("rb") as stream:
        start = stream.read(4)
    if path.stat().st_size > BYTE_LIMIT:
        raise refused(path, f"larger than the limit of {BYTE_LIMIT} bytes")
    if start[:1] == b"\x80":
        raise refused(path, "a pickle, which can run code and is never read")
    if start != b"PK\x03\x04":
        raise refused(path, "no exported program")


def _entries(path: Path, found: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The entries by their names below the one folder in which all of them lie."""
    if len(found) > ENTRY_LIMIT:
        raise refused(path, f"more than the limit of {ENTRY_LIMIT} entries")
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in found:
        folder, _, below = entry.filename.partition("/")
        name = below
        if not _KNOWN.fullmatch(name):
            raise _unknown(path, entry.filename, [entry.filename for entry in found])
        if name in entries or not folder or folder != found[0].filename.partition("/")[0]:
            raise refused(path, f"more than one {name} in it")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise refused(path, f"{name} is compressed")
        entries[name] = entry
    if sum(entry.file_size for entry in found) > path.stat().st_size:
        raise refused(path, "its entries lie over each other")
    return entries


def _unknown(path: Path, name: str, names: list[str]) -> Refusal:
    """The refusal of an archive with an unknown entry, which says what it looks like."""
    for start, reason in _REASONS.items():
        for one in names:
            below = one.partition("/")[2]
            if one.startswith(start) or (below.startswith(start) and not _KNOWN.fullmatch(below)):
                return refused(path, f"{reason} ({one[:80]})")
    return refused(path, f"no exported program: {name[:80]} in it")


def _tensor(data: bytearray, meta: Mapping[str, Any]) -> Tensor:
    """A tensor of raw numbers, with its own strides within them."""
    dtype = graphs.DTYPES.get(meta["dtype"])
    if dtype is None or meta["layout"] != graphs.STRIDED:
        raise graphs.Unsupported("a stored tensor holds numbers of an unknown kind")
    sizes, strides = ([graphs.integer(one) for one in meta[key]] for key in ("sizes", "strides"))
    offset = graphs.integer(meta["storage_offset"])
    if offset is None or None in sizes or None in strides or len(sizes) != len(strides):
        raise graphs.Unsupported("a stored tensor has no fixed size")
    lengths = [size for size in sizes if size is not None]
    steps = [step for step in strides if step is not None]
    count = math.prod(lengths)
    if count == 0:
        return torch.zeros(lengths, dtype=dtype)
    last = offset + sum((size - 1) * step for size, step in zip(lengths, steps, strict=True))
    if (last + 1) * dtype.itemsize > len(data) or count * dtype.itemsize > TENSOR_LIMIT:
        raise graphs.Unsupported("a stored tensor is larger than its numbers")
    flat = torch.frombuffer(data, dtype=dtype, count=len(data) // dtype.itemsize)
    return flat.as_strided(lengths, steps, offset)
