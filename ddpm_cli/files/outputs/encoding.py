"""One picture as a file: PNG, which loses nothing, or JPEG or WebP by the ending of its name."""

from pathlib import Path

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.files.images import lossy, pixels
from ddpm_cli.files.records import Record

SUFFIXES = (".png", *lossy.FORMATS)


def is_picture(path: Path) -> bool:
    """Whether the ending of a name is one of a picture that can be written."""
    return path.suffix.lower() in SUFFIXES


def announce(path: Path) -> None:
    """Say once, before any work, what a format of the user's choice does not keep."""
    kind = lossy.FORMATS.get(path.suffix.lower())
    if kind is not None:
        clear = "; transparency becomes white" if kind == "JPEG" else ""
        words = f"{kind} of quality {lossy.QUALITY}, whose pixels are not kept bit for bit"
        console.say(f"{path}: {words}{clear}")


def encode(image: Tensor, path: Path | None, record: Record) -> bytes:
    """A picture uint8 [C,H,W] with its record, as the name of its file asks; PNG for stdout."""
    suffix = "" if path is None else path.suffix
    if suffix.lower() in lossy.FORMATS:
        return lossy.encode(image, suffix, {**record, "quality": lossy.QUALITY})
    return pixels.encode_png(image, record)
