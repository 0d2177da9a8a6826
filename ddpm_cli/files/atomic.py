"""Write a file whole or not at all, and make it survive a power cut."""

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except (
    ImportError
):  # Windows: two writers of one name then collide with an error instead of waiting
    fcntl = None  # type: ignore[assignment]

Content = bytes | Callable[[BinaryIO], None]
UNSUPPORTED = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK}
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def write(path: Path, data: Content, *, replace: bool = True) -> None:
    """Write data to path so that at any moment path is whole: the old file, the new one or none.

    Temporary file beside the target -> write -> fsync -> rename -> fsync of the folder. With
    replace=False an existing path raises FileExistsError and stays as it is, even when another
    process creates it meanwhile. OSError names path and leaves no temporary file.
    """
    try:
        _write(path, data, replace)
    except OSError as error:
        if error.errno is None or error.filename == str(path):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _write(path: Path, data: Content, replace: bool) -> None:
    _refuse_special(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with _claim(temporary) as stream:  # open, thus locked, until the name has changed hands
        try:
            _fill(stream, data)
            if fcntl is None:  # Windows renames closed files only
                stream.close()
            if replace:
                temporary.replace(path)
            else:
                _publish(temporary, path)
        except BaseException:
            if fcntl is None:
                stream.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    sync_folder(path.parent)


def _refuse_special(path: Path) -> None:
    """Devices and pipes must never be replaced by a regular file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def _claim(temporary: Path) -> BinaryIO:
    """Open the temporary file, alone: a second writer of the same target waits for the first.

    The lock dies with its owner, so what a killed process left behind is simply reused.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        stream = os.fdopen(os.open(temporary, flags, 0o666), "w+b")
        try:
            _lock(stream)
            if _is_still(stream, temporary):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()


def _lock(stream: BinaryIO) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(stream, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def _is_still(stream: BinaryIO, path: Path) -> bool:
    """Tell whether path names the open file, which another writer may have renamed meanwhile."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _fill(stream: BinaryIO, data: Content) -> None:
    stream.truncate(0)
    if callable(data):
        data(stream)
    else:
        stream.write(data)
    stream.flush()
    os.fsync(stream.fileno())


def _publish(temporary: Path, path: Path) -> None:
    """Give the finished file its name unless the name is taken."""
    try:
        path.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        _claim_and_replace(temporary, path)
    else:
        temporary.unlink()


def _claim_and_replace(temporary: Path, path: Path) -> None:
    """Do the same on file systems without hard links; a crash in between leaves an empty file."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        temporary.replace(path)
    except BaseException:
        path.unlink()
        raise


def sync_folder(folder: Path) -> None:
    """Make the new name durable, where folders can be opened and synced."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        os.close(descriptor)
