"""Images as tensors: read any common file safely, write deterministic PNG with metadata."""

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ddpm_cli.errors import Refusal
from ddpm_cli.files import records
from ddpm_cli.files.images import facts, png
from ddpm_cli.files.images.facts import SIXTEEN_BIT, Facts
from ddpm_cli.files.images.opening import AS_ARRAY, BYTE_LIMIT, Readable, opened
from ddpm_cli.files.images.scales import BYTES, LARGEST, WIDE, Scale
from ddpm_cli.files.records import METADATA_KEY

Mode = Literal["L", "RGB", "RGBA"]
Colour = tuple[int, int, int]

EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")
DEEP = "I;16"  # grey of 16 bits
WHITE = (255, 255, 255)
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
    return BYTES.pixels(x)


def from_uint8(image: Tensor) -> Tensor:
    """Turn bytes into float32 in [-1, 1], the inverse of to_uint8."""
    return BYTES.values(image)


def to_pillow(image: Tensor) -> Image.Image:
    """Turn uint8 [C,H,W] into a Pillow image: 1 to 4 channels are L, LA, RGB and RGBA.

    One channel of int32 becomes I;16.
    """
    pixels = image.detach().cpu().permute(1, 2, 0).contiguous().numpy()
    if pixels.dtype == np.int32 and pixels.shape[2] == 1:
        return Image.fromarray(pixels[:, :, 0].astype(np.uint16))
    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 2, 3, 4):
        raise ValueError(f"no PNG for {pixels.dtype} with {pixels.shape[2]} channels")
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def encode_png(image: Tensor, metadata: Mapping[str, Any] | None = None) -> bytes:
    """Encode pixels [C,H,W] as PNG bytes that depend on them and on metadata only.

    int32, of one channel, makes a PNG of 16 bits.

    The metadata is one text chunk, `ddpm`, holding a JSON object with sorted keys.
    """
    text = PngInfo()
    if metadata:
        text.add_text(METADATA_KEY, json.dumps(dict(metadata), sort_keys=True))
    buffer = io.BytesIO()
    to_pillow(image).save(buffer, "PNG", compress_level=6, pnginfo=text)
    return buffer.getvalue()


def read_metadata(source: Readable) -> dict[str, Any]:
    """Read what encode_png stored beside the pixels; an image without it gives {}.

    Pillow bounds what a text chunk may unpack to (1 MiB each, 64 MiB together).
    """
    with opened(source) as (image, name):
        if image.format != "PNG" or not isinstance(image.info.get(METADATA_KEY), str):
            return {}
        record = carried(image)
    if not record:
        raise Refusal(f"{name}: its {METADATA_KEY} entry is damaged")
    return record


def carried(image: Image.Image) -> dict[str, Any]:
    """What encode_png stored beside the pixels, if a decoded image still has it whole."""
    text = image.info.get(METADATA_KEY)
    return records.parsed(text) if isinstance(text, str) else {}


def open_image(source: Readable, mode: Mode = "RGB", *, name: str = "") -> Tensor:
    """Decode the (first) image of a file to uint8 [C,H,W]; any fault is a Refusal naming it.

    EXIF rotation is applied, 16-bit grey is scaled to 8 bits, and transparency shows white
    unless mode is RGBA. `name` is what messages call a stream.
    """
    return from_pillow(read_pillow(source, mode, name=name))


def from_pillow(image: Image.Image) -> Tensor:
    """Turn an L, LA, RGB or RGBA image into uint8 [C,H,W], an I;16 image into int32 [1,H,W]."""
    pixels = np.array(image)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.int32)
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1)))


def read_pillow(
    source: Readable, mode: Mode = "RGB", *, name: str = "", enough: int = 0
) -> Image.Image:
    """Decode like open_image, but stay in Pillow, for resizing.

    A JPEG may be decoded at 1/2, 1/4 or 1/8 as long as both sides keep `enough` pixels.
    """
    image, known = decoded(source, name=name, enough=enough)
    return convert(narrowed(image, known.scale), mode)


def decoded(source: Readable, *, name: str = "", enough: int = 0) -> tuple[Image.Image, Facts]:
    """Decode upright to what loses least of L, LA, RGB, RGBA and I;16, and tell what it was.

    One bit becomes L, palettes and CMYK become RGB; a transparent colour or palette entry becomes
    alpha. 16 bits stay as they are if they are grey without a transparent value; else 8 are left.
    """
    image, known = _stored(source, name, enough)
    return plain(image), known


def read_stored(source: Readable, *, name: str = "", enough: int = 0) -> Image.Image:
    """Decode upright as it is stored, in whichever of the modes that are read."""
    return _stored(source, name, enough)[0]


def _stored(source: Readable, name: str, enough: int) -> tuple[Image.Image, Facts]:
    with opened(source, name) as (image, name):
        _accept_mode(image, name)
        known = facts.of(image)
        stream: BinaryIO | None = getattr(image, "fp", None)
        if image.format == "PNG" and stream is not None:
            png.verify(stream, BYTE_LIMIT)
        if enough:
            image.draft("", (enough, enough))
        image.load()
        turn = UPRIGHT.get(_orientation(image))
        turned = image.copy() if turn is None else image.transpose(turn)
        if known.is_deep and facts.is_white_zero(image):
            turned = _inverted(turned, known.scale)
        turned.info |= image.info
        return turned, known


def _inverted(image: Image.Image, scale: Scale) -> Image.Image:
    """A 16-bit negative the other way round; Pillow turns those of 8 bits itself."""
    wide = scale.low + scale.high - np.asarray(image).astype(np.int64)
    return Image.fromarray(wide.clip(0, 65535).astype(np.uint16))


def convert(image: Image.Image, mode: str, background: Colour = WHITE) -> Image.Image:
    """Turn an L, LA, RGB or RGBA image into another of them.

    Grey is luma (ITU-R BT.601); what is transparent shows the background where mode has no alpha.
    """
    if image.mode.endswith("A") and not mode.endswith("A"):
        page = Image.new("RGBA", image.size, background)
        image = Image.alpha_composite(page, image.convert("RGBA"))
    return image.convert(mode)


def fitted(
    image: Image.Image,
    size: tuple[int, int],
    fit: Literal["crop", "resize"],
    *,
    are_labels: bool = False,
) -> Image.Image:
    """Bring an image to a size: `crop` scales and keeps the middle, `resize` stretches.

    are_labels: its pixels have nothing between them, so the nearest one counts.
    """
    if image.size == size:
        return image
    if are_labels and fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.NEAREST)
    if are_labels:
        return image.resize(size, Image.Resampling.NEAREST)
    if image.mode == DEEP:  # Pillow resizes it, but rounds some of its filters to 8 bits
        wide = fitted(Image.fromarray(np.asarray(image).astype(np.float32)), size, fit)
        grey = np.asarray(wide).round().clip(0, LARGEST).astype(np.uint16)
        return _with_info(Image.fromarray(grey), image)
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    return image.resize(size, Image.Resampling.LANCZOS)


def measure(source: Readable, *, name: str = "") -> tuple[int, int, str]:
    """Read width, height (as displayed) and Pillow mode from the header, without decoding."""
    size, known = inspected(source, name=name)
    return *size, known.mode


def inspected(source: Readable, *, name: str = "") -> tuple[tuple[int, int], Facts]:
    """Read the size (as displayed) and the facts of an image from its header."""
    with opened(source, name) as (image, name):
        _accept_mode(image, name)
        width, height = image.size
        # asking a PNG for EXIF would decode it; Pillow turns TIFF, and its size, by itself
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        if known and _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return (width, height), facts.of(image)


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; cameras write broken EXIF beside good pixels, which is 1."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - the EXIF reader raises as many kinds as the decoders
        return 1


def _accept_mode(image: Image.Image, name: str) -> None:
    if image.mode not in EIGHT_BIT + SIXTEEN_BIT or (image.mode == "I" and image.format != "PNG"):
        fix = "save it with 8 or 16 bits a channel"
        what = f"{name}: pixels of kind {image.mode} cannot be read; {fix}"
        raise Refusal(what, *([AS_ARRAY] if image.mode in ("F", "I") else []))


def plain(image: Image.Image) -> Image.Image:
    """Bring any kind of pixels to L, LA, RGB, RGBA or I;16."""
    if image.mode in SIXTEEN_BIT:
        wide = np.asarray(image).astype(np.uint32).clip(0, LARGEST).astype(np.uint16)
        clear = image.info.get("transparency")
        image = _with_info(Image.fromarray(wide), image)
        if not isinstance(clear, int):
            return image
        image = narrowed(image)
        image.putalpha(Image.fromarray(np.where(wide == clear, 0, 255).astype(np.uint8)))
        return image
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if not image.has_transparency_data:
        return image.convert(mode)
    return image.convert("RGBA").convert(f"{mode}A")


def narrowed(image: Image.Image, scale: Scale = WIDE) -> Image.Image:
    """Scale 16-bit grey to 8 bits, which convert() clips instead; all else stays as it is."""
    if image.mode != DEEP:
        return image
    return _with_info(to_pillow(BYTES.pixels(scale.values(from_pillow(image)))), image)


def _with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    """An image with what the file that it was made of said beside the pixels."""
    image.info = {key: source.info[key] for key in source.info if key != "transparency"}
    return image
