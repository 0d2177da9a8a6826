"""Files of torch.save and plain pickles as trees of tensors, safe to open whatever they hold."""

import argparse
import errno
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files.checkpoints.containers import unpickling
from ddpm_cli.files.checkpoints.containers.unpickling import Forbidden, Kind, Reader, Record

# Beside tensors torch's own reader may build these: plain attributes, as DiT keeps arguments in.
ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [argparse.Namespace]


def read(path: Path) -> Any:
    """What a file of torch or a pickle holds, read without running anything of it.

    torch reads it with weights_only=True; what torch does not know is read by a reader that
    turns all else into inert records. A name that is in neither's list is refused.
    """
    try:
        tree = _read(path)
        _refuse_inflated(tree)
        return tree
    except Forbidden as error:
        raise Refusal(
            f"{path}: refused: it would run {error.name}, which no weights need",
            "do not open it with other programs; get the weights as safetensors",
        ) from None
    except (RecursionError, MemoryError):
        raise Refusal(
            f"{path}: corrupt: its contents are nested too deeply or too large"
        ) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a place before the start
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        fix = "copy or download it again, it may be cut"
        raise Refusal(f"{path}: corrupt: {why}", fix) from None


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(len(unpickling.LEGACY))
    is_zip = head.startswith(b"PK")
    if is_zip or head == unpickling.LEGACY:
        try:
            with torch.serialization.safe_globals(ALLOWED):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
        except OSError:
            raise
        except Exception:  # noqa: BLE001, S110 - the other reader knows more, and names what it refuses
            pass
    if is_zip:
        return zipped(path)
    with path.open("rb") as file:
        return unpickling.legacy(file) if head == unpickling.LEGACY else unpickling.plain(file)


def _refuse_inflated(tree: Any) -> None:
    """Refuse tensors with more numbers than the file holds: strides of 0 make any size."""
    pending, seen = [tree], set()
    while pending:
        value = pending.pop()
        if isinstance(value, Tensor):
            if value.is_meta or value.layout != torch.strided:
                raise ValueError("a tensor without numbers, or with some of them alone (sparse)")
            if value.nbytes > value.untyped_storage().nbytes():
                raise ValueError(f"a tensor of {value.numel():,} numbers, which it does not hold")
            continue
        inner: list[Any] = []
        if isinstance(value, Mapping):
            inner = list(value.values())
        elif isinstance(value, (list, tuple)):
            inner = list(value)
        elif isinstance(value, Record):
            inner = [value.state, value.args]
        if inner and id(value) not in seen:
            seen.add(id(value))
            pending += inner


def zipped(path: Path) -> Any:
    """What a zip file of torch.save holds, with objects of other programs as records."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        where = next((name for name in entries if name.endswith("/data.pkl")), None)
        if where is None:
            raise ValueError("a zip file, but none that torch.save wrote")
        folder = where.removesuffix("data.pkl")
        kept: dict[str, Tensor] = {}

        def storage(pid: Any) -> Tensor:
            kind, key = pid[1], str(pid[2])
            if not isinstance(kind, Kind):
                raise ValueError("a storage of no type")
            if key not in kept:
                entry = entries[f"{folder}data/{key}"]
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise ValueError("its storages are compressed")
                data = bytearray(archive.read(entry))
                kept[key] = (
                    torch.frombuffer(data, dtype=kind.dtype)
                    if data
                    else torch.zeros(0, dtype=kind.dtype)
                )
            return kept[key]

        with archive.open(where) as stream:
            return Reader(stream, storage).load()  # type: ignore[arg-type]
