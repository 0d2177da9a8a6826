"""One picture as a file: PNG, which loses nothing, or JPEG or WebP by the ending of its name."""

from pathlib import Path

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.files.images import lossy, pixels, scales
from ddpm_cli.files.images.scales import BYTES, Scale
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


def encode(image: Tensor, path: Path | None, record: Record, scale: Scale = BYTES) -> bytes:
    """A picture, pixels [C,H,W] of a scale, as the name of its file asks; PNG for stdout."""
    suffix, is_deep = "" if path is None else path.suffix, image.dtype != torch.uint8
    if suffix.lower() in lossy.FORMATS:
        if is_deep:
            kind = lossy.FORMATS[suffix.lower()]
            console.warn(f"{path}: {kind} has 8 bits; .png keeps 16")
            image = BYTES.pixels(scale.values(image))
        return lossy.encode(image, suffix, {**record, "quality": lossy.QUALITY})
    return pixels.encode_png(image, {**record, **scales.recorded(scale, is_deep)})
