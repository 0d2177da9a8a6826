"""What files of a form are called and how they begin, which tells them without decoding any."""

from pathlib import Path
from typing import NamedTuple


class Form(NamedTuple):
    """A form of files; words: "a Parquet file"; magic: bytes at a place of each."""

    words: str
    endings: tuple[str, ...]
    magic: bytes
    at: int = 0

    def begins(self, path: Path) -> bool:
        """Whether a file begins as one of this form."""
        return begins(path, self.magic, self.at)


PARQUET = Form("a Parquet file", (".parquet",), b"PAR1")
TAR = Form("a tar archive", (".tar",), b"ustar", 257)
LMDB = Form("an LMDB", (".mdb", ".lmdb"), b"\xde\xc0\xef\xbe", 16)


def begins(path: Path, magic: bytes, at: int = 0) -> bool:
    """Whether these bytes stand at a place of a file."""
    try:
        if not path.is_file():  # opening a pipe could block for ever
            return False
        with path.open("rb") as stream:
            stream.seek(at)
            return stream.read(len(magic)) == magic
    except OSError:
        return False
