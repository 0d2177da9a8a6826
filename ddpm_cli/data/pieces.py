"""Parts of large files, read one by one from where they lie."""

from pathlib import Path
from typing import NamedTuple

from ddpm_cli.data.sources import refuse_large, unreadable
from ddpm_cli.errors import Refusal


class Piece(NamedTuple):
    """Some bytes of a file. The file is open only while they are read."""

    path: Path
    offset: int
    size: int

    def read(self, name: str) -> bytes:
        """Read all of them, up to the limit of an image; messages call them `name`."""
        refuse_large(name, self.size)
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                data = stream.read(self.size)
        except OSError as error:
            raise unreadable(self.path, error) from error
        if len(data) < self.size:
            raise Refusal(f"{name}: cut, the file ends within it")
        return data
