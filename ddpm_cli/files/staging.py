"""Several files that appear together when all are whole, or not at all."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ddpm_cli.files import atomic


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A hidden folder in `folder`, whose files are moved there at the end of the block.

    If it fails, they are gone. Files of these names are replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".tmp") as place:
        yield Path(place)
        for file in sorted(Path(place).iterdir()):
            file.replace(folder / file.name)
        atomic.sync_folder(folder)
