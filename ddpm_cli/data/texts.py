"""What is written of images, whatever a set keeps it in: each line is a caption of its own."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from ddpm_cli.data.sources import Files
from ddpm_cli.errors import Refusal

KEYS = ("text", "caption")  # of columns and of JSON
ENDING = ".txt"
LIMIT = 2**20  # bytes of a text

Text = Callable[[str], str | None]


def captions(text: str | None) -> list[str]:
    """The captions in a text: its lines, without what is around them and without empty ones."""
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def of(value: Any) -> str | None:
    """The text that a cell or a value of JSON says, if it says one; lists are several captions."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return "\n".join(" ".join(each.split()) for each in value)
    return None


def beside(files: Files) -> Text | None:
    """The text of an image in a file of its stem, as cat.txt of cat.png; None without any."""
    found: dict[str, str] = {}
    for name in files.names:
        place = PurePosixPath(name).with_suffix(ENDING).as_posix()
        data = files.beside(place)
        if data is not None:
            found[name] = _decoded(data, files.place(place))
    return found.get if found else None


def _decoded(data: bytes, place: str) -> str:
    if len(data) > LIMIT:
        raise Refusal(f"{place}: {len(data)} bytes; the limit of a text is {LIMIT}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        fix = "save it in UTF-8, or move it elsewhere"
        raise Refusal(f"{place}: it is beside an image, and no UTF-8 text", fix) from None
