"""Picture files as parts of a page, made smaller where they are too large for one."""

import io
import math
from pathlib import Path

from ddpm_cli.files.images import pixels
from ddpm_cli.files.images.opening import opened
from ddpm_cli.files.outputs.page.sheets import Embedded

KINDS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}  # what browsers show
TURNED = 274  # the EXIF entry of an image that is to be turned
BYTES = 2**22  # of a file that is taken as it is, if its pixels need no more


def embedded(path: Path, label: str, side: int, step: int = 0) -> Embedded:
    """A picture as it is, or as a PNG that fits into `side` pixels; Refusal if it is none."""
    with opened(path) as (image, _):
        kind, (width, height) = KINDS.get(image.format or ""), image.size
        image.load()
        is_turned = image.format == "JPEG" and image.getexif().get(TURNED, 1) != 1
    size = reduced(width, height, side)
    most = max(4 * width * height + 2**16, BYTES if kind == "gif" else 0)
    if kind and not is_turned and size == (width, height) and path.stat().st_size <= most:
        return Embedded(path.read_bytes(), kind, width, height, label, step)
    data, width, height = _again(path, side)
    return Embedded(data, "png", width, height, label, step)


def _again(path: Path, side: int) -> tuple[bytes, int, int]:
    """A PNG of 8 bits that fits into `side` pixels, and its size; means of squares of pixels."""
    from PIL import Image

    image = pixels.narrowed(pixels.plain(pixels.read_stored(path)))
    size = reduced(*image.size, side)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BOX)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue(), *size


def reduced(width: int, height: int, side: int) -> tuple[int, int]:
    """The size of a picture that fits into a square, by a whole number; its own if it fits."""
    times = math.ceil(max(width, height) / side)
    return max(width // times, 1), max(height // times, 1)
