"""What a foreign checkpoint holds, by its content whatever its name says."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from ddpm_cli import streams
from ddpm_cli.errors import Refusal
from ddpm_cli.files import tensor_file
from ddpm_cli.files.checkpoints.containers import torch_files
from ddpm_cli.foreign import missing, signs, telling
from ddpm_cli.foreign.signs import HEAD

CONFIG_LIMIT = 2**24  # bytes of a JSON file
_CHUNK = 1 << 22


class Content(NamedTuple):
    """A file or folder of another program.

    tree: what it holds: dicts and lists of tensors and inert records, or {name: tensor} of a
    safetensors file; {} of a folder. metadata: texts of a safetensors file. configs: the JSON
    files of a folder by their relative names.
    """

    path: Path
    tree: Any
    metadata: Mapping[str, str]
    configs: Mapping[str, Any]


def opened(path: Path) -> Content:
    """Read a file or folder; nothing in it is run, and what is damaged is refused."""
    if path.is_dir():
        return Content(path, {}, {}, _configs(path))
    if not path.exists():
        raise missing.refusal(path, "model")
    streams.refuse_special(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    if signs.is_safetensors(head):
        tree, metadata = _safetensors(path)
        return Content(path, tree, metadata, {})
    told = telling.told(path, "model")
    if not head.startswith(b"PK") and not _is_pickle(head):
        if told is not None:
            raise told.refusal(path, "no checkpoint")
        raise Refusal(f"{path}: no checkpoint of any program that is known")
    return Content(path, torch_files.read(path), {}, {})


def _is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5, or the older ones, which are text that starts so."""
    return signs.is_pickle(head) or head[:1] in (b"(", b"c", b"]", b"}")


def tensors_of(path: Path) -> dict[str, Tensor]:
    """The tensors of one file of weights: safetensors, or a state dict of torch."""
    with path.open("rb") as file:
        if signs.is_safetensors(file.read(HEAD)):
            return _safetensors(path)[0]
    return state_dict(torch_files.read(path), path)


def state_dict(tree: Any, path: Path) -> dict[str, Tensor]:
    """A dict of names and tensors, what it must be; other entries are refused."""
    if isinstance(tree, Mapping):
        named = {str(name): value for name, value in tree.items()}
        if named and all(isinstance(value, Tensor) for value in named.values()):
            return named
    raise Refusal(f"{path}: no weights where they should be")


def stripped(tensors: Mapping[str, Tensor], *prefixes: str) -> dict[str, Tensor]:
    """The tensors without a prefix that all names share, as `module.` of parallel training."""
    named = dict(tensors)
    for prefix in prefixes:
        if named and all(name.startswith(prefix) for name in named):
            named = {name.removeprefix(prefix): value for name, value in named.items()}
    return named


def sizes(tensors: Mapping[str, Tensor], name: str, axes: int, path: Path) -> tuple[int, ...]:
    """The shape of the tensor of a name, which must be there and have so many axes."""
    value = tensors.get(name)
    if value is None:
        raise Refusal(f"{path}: its weights are not whole: {name} is missing")
    if value.ndim != axes or not value.numel():
        shape = "x".join(map(str, value.shape)) or "a single number"
        raise Refusal(f"{path}: its weights are not whole: {name} is {shape}")
    return tuple(value.shape)


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with path.open("rb") as file:
            metadata = tensor_file.read(file).metadata
        return safetensors.load_file(path), metadata
    except (ValueError, SafetensorError) as error:
        fix = "copy or download it again, it may be cut"
        raise Refusal(f"{path}: corrupt: {error}", fix) from None


def _configs(folder: Path) -> dict[str, Any]:
    """The JSON files of a folder and of the folders in it."""
    found = [*folder.glob("*.json"), *folder.glob("*/*.json")]
    names = {str(path.relative_to(folder)): path for path in sorted(found) if path.is_file()}
    return {name: config(path) for name, path in names.items()}


def config(path: Path) -> Any:
    """What a JSON file says."""
    if path.stat().st_size > CONFIG_LIMIT:
        raise Refusal(f"{path}: too large for a configuration")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise Refusal(f"{path}: corrupt: no JSON") from None


def digest(path: Path) -> str:
    """The SHA-256 of a file, or of all files below a folder in the order of their names."""
    running = hashlib.sha256()
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    for place in files:
        with place.open("rb") as file:
            while chunk := file.read(_CHUNK):
                running.update(chunk)
    return running.hexdigest()
