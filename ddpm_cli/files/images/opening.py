"""Open image files safely: limits, an allow-list, and any fault a Refusal naming the file."""

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from ddpm_cli import streams
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import tiff
from ddpm_cli.foreign import missing, telling
from ddpm_cli.foreign.kinds import IMAGE
from ddpm_cli.foreign.signs import HEAD

if TYPE_CHECKING:
    from PIL import Image

Readable = str | Path | BinaryIO

# Formats whose decoders are maintained and run no program (EPS would start Ghostscript).
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif", ".bmp")
AS_ARRAY = (
    "to train on such images save all as one array [N,C,H,W] with numpy.save('FILE.npy', ...), "
    "then --set data.name=array --set data.path=FILE.npy --set wrappers=[]"
)
PIXEL_LIMIT = 2**24
BYTE_LIMIT = 2**27  # no image within the pixel limit needs more, even uncompressed


def is_image_name(name: str) -> bool:
    """Tell an image from its name: known ending, nothing hidden on the way, no macOS fork."""
    parts = PurePosixPath(name).parts
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return name.lower().endswith(SUFFIXES) and not hidden


@contextmanager
def opened(source: Readable, name: str = "") -> "Iterator[tuple[Image.Image, str]]":
    """Open within the limits, and turn whatever Pillow raises into a Refusal naming the file."""
    from PIL import Image, UnidentifiedImageError

    name = name or _name(source)
    try:
        with warnings.catch_warnings(), bounded(source, name) as stream:
            warnings.simplefilter("ignore")
            try:
                image = Image.open(stream, formats=FORMATS)
            except UnidentifiedImageError as error:
                raise _foreign(stream, name) from error
            with image:
                _accept_size(image, name)
                yield image, name
    except Refusal:
        raise
    except FileNotFoundError as error:
        raise _missing(name, error) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name) from error
    except MemoryError as error:
        raise Refusal(f"{name}: not enough memory to decode this image") from error
    except Exception as error:  # decoders raise SyntaxError, struct.error, zlib.error, ...
        raise Refusal(f"{name}: {_reason(error)}") from error


def _name(source: Readable) -> str:
    if isinstance(source, (str, Path)):
        return str(source)
    return str(getattr(source, "name", "<stdin>"))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged image: {error}" if str(error) else "damaged image"


def _missing(name: str, error: FileNotFoundError) -> Refusal:
    """The refusal of a path where nothing is."""
    return missing.refusal(Path(name), "image", error.strerror or missing.NO_FILE)


def _foreign(stream: BinaryIO, name: str) -> Refusal:
    """The refusal of a file that Pillow does not know."""
    stream.seek(0)
    told = telling.told_of(stream.read(HEAD), "image", name)
    if told is not None and told.what != IMAGE.name:
        return told.refusal(name, "no image")
    if count := tiff.bands(stream):
        what = f"{name}: a TIFF with {count} values a pixel; images have 1 to 4"
        return Refusal(what, AS_ARRAY)
    formats = ", ".join(FORMATS)
    return Refusal(f"{name}: not an image that can be read; one of {formats}")


@contextmanager
def bounded(source: Readable, name: str = "") -> Iterator[BinaryIO]:
    """Give a seekable stream of bounded length; pipes are read into memory."""
    name = name or _name(source)
    if isinstance(source, (str, Path)):
        with streams.opened(Path(source), BYTE_LIMIT) as stream, bounded(stream, name) as whole:
            yield whole
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


def digest(path: str) -> str:
    """The SHA-256 of the file of an image, or of what was measured of one."""
    with streams.opened(Path(path), BYTE_LIMIT) as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _regular_size(stream: BinaryIO) -> int | None:
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) and stream.seekable() else None


def _accept_size(image: "Image.Image", name: str) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise Refusal(f"{name}: the image is {width}x{height} pixels")
    if width * height > PIXEL_LIMIT:
        raise _too_large(name, f" ({width}x{height})")


def _too_large(name: str, size: str = "") -> Refusal:
    fix = "make it smaller: magick FILE -resize 4000x4000 smaller.png"
    return Refusal(f"{name}: too many pixels{size}; the limit is {PIXEL_LIMIT}", fix)
