"""Code of the user's own: FILE.py:NAME, or a program that torch.export wrote.

Loading either runs code of the file. It is for the command line and for Python to ask for; no
settings, checkpoint or record can: see settings/code_names.py.
"""

import hashlib
import importlib
import importlib.util
import io
import logging
import sys
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from importlib.abc import SourceLoader
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.passes import move_to_device_pass

from ddpm_cli import console, streams
from ddpm_cli.errors import Refusal, nearest
from ddpm_cli.guides.parts.faults import blamed
from ddpm_cli.settings import code_names

_PREFIX = "_ddpm_user_code_"


class Code(NamedTuple):
    """A function of the user's: its name in messages, the SHA-256 of its file, and itself."""

    name: str
    sha256: str
    function: Callable[..., Any] | ExportedProgram

    def on(self, device: torch.device) -> Callable[..., Any]:
        """The function for tensors on a device; one of FILE.py sees to that itself."""
        if isinstance(self.function, ExportedProgram):
            return Program(self.function, device)
        return self.function


def load(code: str | Callable[..., Any]) -> Code:
    """Run FILE.py and take NAME from it, or read a program.pt2, whose pickles are trusted.

    Python may give a function itself, which has no file.
    """
    if not isinstance(code, str):
        return Code(getattr(code, "__qualname__", type(code).__name__), "", code)
    return _of_file(code)


def _of_file(name: str) -> Code:
    path, attribute = code_names.split(name)
    streams.refuse_special(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Refusal(f"{name}: {error.strerror}", "name a file that can be read") from None
    digest = hashlib.sha256(content).hexdigest()
    if attribute:
        return Code(name, digest, _attribute(name, _imported(name, path, content), attribute))
    return Code(name, digest, _program(name, content))


class Program:
    """A torch.export program for any number of rows: tensors [B, ...] in, [B, ...] out.

    One that was exported for a fixed number of rows is given as many at a time; the last one is
    repeated to make up the number, and what comes of that is dropped.
    """

    def __init__(self, program: ExportedProgram, device: torch.device) -> None:
        self.rows = _fixed_rows(program)
        self._module = move_to_device_pass(program, device).module()

    def __call__(self, *inputs: Tensor) -> Any:
        """Run it; the result is differentiable in the inputs."""
        if self.rows is None:
            return self._module(*inputs)
        count = len(inputs[0])
        parts = [
            self._module(*(_padded(x[first : first + self.rows], self.rows) for x in inputs))
            for first in range(0, count, self.rows)
        ]
        return torch.cat(parts)[:count]


def _program(name: str, content: bytes) -> ExportedProgram:
    """Read what torch.export.save wrote; pickles in it are unpickled."""
    log = logging.getLogger("torch.export")  # it tells a whole traceback
    level = log.level
    log.setLevel(logging.WARNING if console.verbosity() >= 2 else logging.CRITICAL)
    try:
        return torch.export.load(io.BytesIO(content))
    except MemoryError:
        raise
    except Exception as error:
        fix = "write it by torch.export.save, with this release of PyTorch; -vv says more"
        raise Refusal(f"{name}: torch.export.load cannot read it", fix) from error
    finally:
        log.setLevel(level)


def _fixed_rows(program: ExportedProgram) -> int | None:
    """The number of rows that a program was exported for; None if it takes any."""
    names = program.graph_signature.user_inputs
    values = [node.meta["val"] for node in program.graph.nodes if node.name in names]
    rows = [value.shape[0] for value in values if isinstance(value, Tensor) and value.ndim]
    fixed = {count for count in rows if isinstance(count, int) and count > 0}
    return fixed.pop() if len(fixed) == 1 else None


def _padded(x: Tensor, count: int) -> Tensor:
    """Rows [count, ...], the last one repeated."""
    return torch.cat([x, x[-1:].expand(count - len(x), *x.shape[1:])])


def _attribute(name: str, module: ModuleType, attribute: str) -> Callable[..., Any]:
    """What a module calls by this name, which must be a function or like one."""
    values = vars(module)
    if attribute not in values:
        functions = [key for key, value in values.items() if callable(value) and key[0] != "_"]
        raise Refusal(f"{name}: no {attribute} is in the file", nearest(attribute, functions))
    if not callable(values[attribute]):
        what = f"{attribute} is no function, but of type {type(values[attribute]).__name__}"
        raise Refusal(f"{name}: {what}", "give a function of tensors")
    function: Callable[..., Any] = values[attribute]
    return function


class _Source(SourceLoader):
    """Loads a module from bytes that were read before; nothing of it is cached on disk."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path, self._content = path, content

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str | bytes) -> bytes:
        return self._content


def _imported(name: str, path: Path, content: bytes) -> ModuleType:
    """Run a file as a module of a name of its own; it may import others that lie beside it."""
    folder = path.resolve().parent
    private = _PREFIX + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_loader(private, _Source(path, content))
    if spec is None or spec.loader is None:
        raise Refusal(f"{name}: no module can be made of the file")
    module = importlib.util.module_from_spec(spec)
    with _beside(folder), blamed(name, "-vv shows where", path):
        sys.modules[private] = module  # dataclasses look themselves up
        spec.loader.exec_module(module)
    return module


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let a file import its neighbours while it is loaded, and leave no trace of that.

    The neighbours are forgotten, as a file in another folder may have some of the same names, and
    none of them leaves bytecode in the folder.
    """
    before, writes = set(sys.modules), sys.dont_write_bytecode
    importlib.invalidate_caches()  # a neighbour may have been written just now
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = writes
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        _forget(folder, before)


def _forget(folder: Path, before: Set[str]) -> None:
    """Take what was imported since from a folder out of Python's list of modules."""
    tops = {name.partition(".")[0] for name in set(sys.modules) - before}
    tops = {top for top in tops - before if _folder(top) == folder and _PREFIX not in top}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def _folder(top: str) -> Path | None:
    """The folder that a module, or the folder of a package, lies in."""
    module = sys.modules.get(top)
    places = [*getattr(module, "__path__", ()), getattr(module, "__file__", None)]
    return Path(places[0]).parent if places[0] else None
