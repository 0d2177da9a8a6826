"""Images as tensors: read any common file safely, write deterministic PNG with metadata."""

import io
import json
import math
import os
import stat
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files import png
from ddpm_cli.files.records import METADATA_KEY

Mode = Literal["L", "RGB", "RGBA"]
Source = str | Path | BinaryIO

# Formats whose decoders are maintained and run no program (EPS would start Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
PIXEL_LIMIT = 2**24
BYTE_LIMIT = 2**27  # no image within the pixel limit needs more, even uncompressed
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_uint8(x: Tensor) -> Tensor:
    """Turn floats in [-1, 1] into bytes: round((x + 1) * 127.5), clamped."""
    return ((x.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def from_uint8(image: Tensor) -> Tensor:
    """Turn bytes into float32 in [-1, 1], the inverse of to_uint8."""
    return image.float() / 127.5 - 1


def sheet(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Lay out uint8 images [B,C,H,W] row by row on one white image [C,H',W']."""
    count, channels, height, width = images.shape
    columns = min(columns or math.ceil(math.sqrt(count)), count)
    rows = math.ceil(count / columns)
    size = (rows * (height + padding) + padding, columns * (width + padding) + padding)
    page = torch.full((channels, *size), 255, dtype=torch.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = padding + row * (height + padding), padding + column * (width + padding)
        page[:, top : top + height, left : left + width] = image
    return page


def to_pillow(image: Tensor) -> Image.Image:
    """Turn uint8 [C,H,W] with 1, 3 or 4 channels into a Pillow image."""
    pixels = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3, 4):
        raise ValueError(f"no PNG for {pixels.dtype} with {pixels.shape[2]} channels")
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def encode_png(image: Tensor, metadata: Mapping[str, Any] | None = None) -> bytes:
    """Encode uint8 [C,H,W] as PNG bytes that depend on pixels and metadata only.

    The metadata is one text chunk, `ddpm`, holding a JSON object with sorted keys.
    """
    text = PngInfo()
    if metadata:
        text.add_text(METADATA_KEY, json.dumps(dict(metadata), sort_keys=True))
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, "PNG", compress_level=6, pnginfo=text)
    return buffer.getvalue()


def read_metadata(source: Source) -> dict[str, Any]:
    """Read what encode_png stored beside the pixels; an image without it gives {}.

    Pillow bounds what a text chunk may unpack to (1 MiB each, 64 MiB together).
    """
    with _opened(source) as (image, name):
        entry = image.info.get(METADATA_KEY)
        if image.format != "PNG" or not isinstance(entry, str):
            return {}
        try:
            found = json.loads(entry)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict):
        raise Refusal(f"{name}: its {METADATA_KEY} entry is damaged")
    return found


def open_image(source: Source, mode: Mode = "RGB", *, name: str = "") -> Tensor:
    """Decode the (first) image of a file to uint8 [C,H,W]; any fault is a Refusal naming it.

    EXIF rotation is applied, 16-bit grey is scaled by 1/257, and transparency shows white
    unless mode is RGBA. `name` is what messages call a stream.
    """
    return from_pillow(read_pillow(source, mode, name=name))


def from_pillow(image: Image.Image) -> Tensor:
    """Turn an L, RGB or RGBA image into uint8 [C,H,W]."""
    pixels = np.array(image)
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1)))


def read_pillow(
    source: Source, mode: Mode = "RGB", *, name: str = "", enough: int = 0
) -> Image.Image:
    """Decode like open_image, but stay in Pillow, for resizing.

    A JPEG may be decoded at 1/2, 1/4 or 1/8 as long as both sides keep `enough` pixels.
    """
    with _opened(source, name) as (image, name):
        _accept_mode(image, name)
        stream: BinaryIO | None = getattr(image, "fp", None)
        if image.format == "PNG" and stream is not None:
            png.check(stream, BYTE_LIMIT)
        if enough:
            image.draft("", (enough, enough))
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        return _convert(image if turn is None else image.transpose(turn), mode)


def measure(source: Source, *, name: str = "") -> tuple[int, int, str]:
    """Read width, height (as displayed) and Pillow mode from the header, without decoding."""
    with _opened(source, name) as (image, name):
        _accept_mode(image, name)
        width, height = image.size
        # asking a PNG for EXIF would decode it; Pillow turns TIFF, and its size, by itself
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        if known and _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return width, height, image.mode


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; cameras write broken EXIF beside good pixels, which is 1."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - the EXIF reader raises as many kinds as the decoders
        return 1


@contextmanager
def _opened(source: Source, name: str = "") -> Iterator[tuple[Image.Image, str]]:
    """Open within the limits, and turn whatever Pillow raises into a Refusal naming the file."""
    name = name or _name(source)
    try:
        with warnings.catch_warnings(), _stream(source, name) as stream:
            warnings.simplefilter("ignore")
            with Image.open(stream, formats=FORMATS) as image:
                _accept_size(image, name)
                yield image, name
    except Refusal:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise Refusal(f"{name}: not an image that can be read; one of {formats}") from error
    except MemoryError as error:
        raise Refusal(f"{name}: not enough memory to decode this image") from error
    except Exception as error:  # decoders raise SyntaxError, struct.error, zlib.error, ...
        raise Refusal(f"{name}: {_reason(error)}") from error


def _name(source: Source) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return str(getattr(source, "name", "<stdin>"))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged image: {error}" if str(error) else "damaged image"


@contextmanager
def _stream(source: Source, name: str) -> Iterator[BinaryIO]:
    """Give a seekable stream of bounded length; pipes are read into memory."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as stream, _stream(stream, name) as bounded:
            yield bounded
        return
    size = _regular_size(source)
    if size is None:
        data = source.read(BYTE_LIMIT + 1)
        size, source = len(data), io.BytesIO(data)
    if size == 0:
        raise Refusal(f"{name}: empty file")
    if size > BYTE_LIMIT:
        raise Refusal(f"{name}: more than the limit of {BYTE_LIMIT} bytes for an image file")
    yield source


def _regular_size(stream: BinaryIO) -> int | None:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) and stream.seekable() else None


def _accept_size(image: Image.Image, name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise Refusal(f"{name}: the image is {width}x{height} pixels")
    if width * height > PIXEL_LIMIT:
        raise _too_large(name, f" ({width}x{height})")


def _too_large(name: str, size: str = "") -> Refusal:
    return Refusal(f"{name}: too many pixels{size}; the limit is {PIXEL_LIMIT}, make it smaller")


def _accept_mode(image: Image.Image, name: str) -> None:
    if image.mode not in EIGHT_BIT + SIXTEEN_BIT or (image.mode == "I" and image.format != "PNG"):
        fix = "save it with 8 or 16 bits a channel"
        raise Refusal(f"{name}: pixels of kind {image.mode} cannot be read; {fix}")


def _convert(image: Image.Image, mode: Mode) -> Image.Image:
    if image.mode in SIXTEEN_BIT:
        image = _narrow(image)
    if not image.has_transparency_data:
        return image.convert(mode)
    image = image.convert("RGBA")
    if mode == "RGBA":
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert(mode)


def _narrow(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, which convert() clips instead; keep its transparent value."""
    wide = np.asarray(image).astype(np.uint32).clip(0, 65535)
    grey = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
    return grey
