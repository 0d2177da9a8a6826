"""The lock of a run folder, which only one process may write in."""

import errno
from pathlib import Path
from typing import BinaryIO

from ddpm_cli import console
from ddpm_cli.errors import Refusal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = "run.lock"


def locked(folder: Path) -> BinaryIO:
    """Hold the folder for this process; the lock dies with its owner."""
    lock = (folder / LOCK).open("ab")
    if fcntl is None:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise Refusal(f"{folder}: in use by another run", "give another -o") from None
        console.warn(f"{folder}: this file system has no locks: start no second run in it")
        return (folder / LOCK).open("ab")
    return lock
