"""Files opened for reading without waiting for ever: pipes need a writer, devices are refused."""

import io
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

from ddpm_cli.errors import Refusal

PATIENCE = 1.0  # seconds that a named pipe may be without a writer
CHUNK = 1 << 16
FIX = "name a file, or pipe into -"


def opened(path: Path, limit: int) -> BinaryIO:
    """Open a file; of a pipe the contents in memory, up to one byte more than `limit`.

    A named pipe that nobody writes to is refused after a second. OSError is as of Path.open.
    """
    status = path.stat()
    if stat.S_ISFIFO(status.st_mode):
        return io.BytesIO(_of_pipe(path, status, limit + 1))
    refuse_special(path, status.st_mode)
    return path.open("rb")


def refuse_special(path: Path, mode: int | None = None) -> None:
    """Refuse a pipe, a device or a socket where only a file will do; mode: of its status."""
    if mode is None:
        try:
            mode = path.stat().st_mode
        except OSError:  # opening it will say why
            return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise Refusal(f"{path}: {_kind(mode)}, where a file is wanted", FIX)


def _kind(mode: int) -> str:
    names = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return names.get(stat.S_IFMT(mode), "a device")


def _of_pipe(path: Path, status: os.stat_result, count: int) -> bytes:
    if _has_no_name(status):  # of a shell, as <(command): its other end is known to be there
        with path.open("rb") as stream:
            return stream.read(count)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        begun = _begun(pipe, path)
        os.set_blocking(descriptor, True)
        with io.BufferedReader(pipe) as rest:
            return begun + rest.read(count - len(begun))


def _begun(pipe: io.FileIO, path: Path) -> bytes:
    """The first bytes of a pipe, if any are there; b"" as soon as it has a writer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        first = pipe.read(CHUNK)
        if first is None:  # it has a writer, who is not ready
            return b""
        if first:
            return first
        time.sleep(0.01)
    raise Refusal(
        f"{path}: a named pipe that nobody writes to", "start its writer, or pipe into -"
    )


def _has_no_name(status: os.stat_result) -> bool:
    """Whether a pipe is one between processes, and not a file of a folder."""
    reader, writer = os.pipe()
    try:
        return os.fstat(reader).st_dev == status.st_dev
    finally:
        os.close(reader)
        os.close(writer)
