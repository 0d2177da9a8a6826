"""Where image files come from: a folder tree or a zip archive, listed in one fixed order."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

from ddpm_cli import streams
from ddpm_cli.data import no_images
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images.opening import BYTE_LIMIT, is_image_name
from ddpm_cli.foreign import missing, telling
from ddpm_cli.foreign.kinds import ZIP


class Files(Protocol):
    """Image files with a name each: relative, with forward slashes, sorted."""

    root: Path
    names: tuple[str, ...]

    def open(self, name: str) -> BinaryIO:
        """Open one file; the caller closes it."""
        ...

    def place(self, name: str) -> str:
        """Say where one file is, for messages."""
        ...

    def beside(self, name: str) -> bytes | None:
        """Read a file that is no image, up to the limit of one; None if it is not there."""
        ...


class Folder:
    """The image files below a folder.

    Hidden files are skipped. Links are followed, but no folder is entered twice, so loops end.
    """

    def __init__(self, root: Path) -> None:
        """List the files below root."""
        self.root = root
        try:
            if not stat.S_ISDIR(root.stat().st_mode):
                fix = "give its folder, or set data.name=archive for a zip file"
                told = telling.told(root, "data")
                raise (
                    told.refusal(root, "no folder")
                    if told
                    else Refusal(f"{root}: not a folder; {fix}")
                )
            self.names = tuple(sorted(below(root)))
        except FileNotFoundError as error:
            raise missing_file(root) from error
        except (OSError, ValueError) as error:
            raise unreadable(root, error) from error
        if not self.names:
            raise no_images.in_folder(root)

    def open(self, name: str) -> BinaryIO:
        """Open one file; the caller closes it."""
        return (self.root / name).open("rb")

    def place(self, name: str) -> str:
        """Say where one file is, for messages."""
        return str(self.root / name)

    def beside(self, name: str) -> bytes | None:
        """Read a file that is no image, up to the limit of one; None if it is not there."""
        place = self.root / name
        try:
            if not place.exists():
                return None
            if not place.is_file():  # opening a pipe could block for ever
                raise Refusal(f"{place}: not a regular file")
            refuse_large(str(place), place.stat().st_size)
            return place.read_bytes()
        except OSError as error:
            raise unreadable(place, error) from error


class Archive:
    """The image files in a zip archive, which is read in place and never unpacked.

    It can be sent or forked to worker processes: each opens the archive for itself.
    """

    def __init__(self, path: Path) -> None:
        """List the entries of the archive."""
        self.root = path
        self._process = 0
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                raise Refusal(f"{path}: not a zip file; set data.name=folder for a folder")
            entries = self._opened().infolist()
        except Refusal:
            raise
        except FileNotFoundError as error:
            raise missing_file(path) from error
        except Exception as error:  # zipfile raises struct.error, ValueError, ... on damage
            told = telling.told(path, "data")
            if told is not None and told.what != ZIP.name:
                raise told.refusal(path, "no zip file") from error
            raise _damaged(path, error) from error
        self._entries = {entry.filename: entry for entry in entries}
        self.names = tuple(sorted(filter(is_image_name, self._entries)))
        if not self.names:
            raise no_images.in_archive(path, tuple(self._entries), self._read)

    def open(self, name: str) -> BinaryIO:
        """Unpack one entry into memory, up to the limit of an image file."""
        return io.BytesIO(self._read(name))

    def place(self, name: str) -> str:
        """Say where one entry is, for messages."""
        return f"{self.root}/{name}"

    def beside(self, name: str) -> bytes | None:
        """Unpack an entry that is no image, up to the limit of one; None if it is not there."""
        return self._read(name) if name in self._entries else None

    def _read(self, name: str) -> bytes:
        entry = self._entries[name]
        refuse_large(self.place(name), entry.file_size)
        try:
            return self._opened().read(entry)
        except Exception as error:  # whatever the decompressors raise
            raise unreadable(self.place(name), error) from error

    def _opened(self) -> zipfile.ZipFile:
        """Open the archive once a process: a forked handle would share its position."""
        if self._zip is None or self._process != os.getpid():
            streams.refuse_special(self.root)
            self._zip, self._process = zipfile.ZipFile(self.root), os.getpid()
        return self._zip

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_zip": None}


def below(root: Path, is_wanted: Callable[[str], bool] = is_image_name) -> list[str]:
    """List the files below root whose names are wanted, relative to it; see `Folder`."""
    names: list[str] = []
    home = root.resolve()
    entered = {_identity(root.stat())}
    pending = [(root, "")]
    while pending:
        folder, prefix = pending.pop()
        with os.scandir(folder) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            name, status = prefix + entry.name, _status(entry)
            if status is None or not stat.S_ISDIR(status.st_mode):
                # reading a broken link will name it; a pipe could block for ever
                if is_wanted(name) and (status is None or stat.S_ISREG(status.st_mode)):
                    names.append(name)
            elif not entry.name.startswith(".") and _is_new(entry, home, entered):
                entered.add(_identity(status))
                pending.append((folder / entry.name, f"{name}/"))
    return names


def _is_new(entry: os.DirEntry[str], home: Path, entered: set[tuple[int, int]]) -> bool:
    """Tell whether to enter a folder; what a link finds below root has a name of its own."""
    if _identity(entry.stat()) in entered:
        return False
    return not (entry.is_symlink() and Path(entry.path).resolve().is_relative_to(home))


def _status(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat()
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def missing_file(place: Path) -> Refusal:
    """The refusal of a path where nothing is."""
    return missing.refusal(place, "data", fix=f"paths begin in {Path.cwd()}")


def _damaged(place: Path, error: Exception) -> Refusal:
    """The refusal of what begins as a zip file, or as nothing that is known."""
    if telling.kind(place) != ZIP:
        return unreadable(place, error)
    return Refusal(f"{place}: a zip file that is cut or damaged", "copy or download it again")


def refuse_large(place: str, size: int) -> None:
    """Refuse a file of a set, or an entry of an archive, beyond the limit of an image."""
    if size > BYTE_LIMIT:
        raise Refusal(f"{place}: {size} bytes; the limit for a file of a set is {BYTE_LIMIT}")


def unreadable(place: str | Path, error: Exception) -> Refusal:
    """The refusal of what could not be read, with the system's reason."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return Refusal(f"{place}: {reason or 'damaged archive'}")
