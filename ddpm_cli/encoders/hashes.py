"""The hash of an encoder: of its files and its settings."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CHUNK = 1 << 22


def digest(files: Sequence[Path], settings: Any = None) -> str:
    """SHA-256 of settings, and of the name and the contents of each file."""
    running = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for path in files:
        inner = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                inner.update(chunk)
        running.update(path.name.encode() + b"\0" + inner.digest())
    return running.hexdigest()
