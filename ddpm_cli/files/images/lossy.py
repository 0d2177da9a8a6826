"""JPEG and WebP: smaller than PNG and not bit for bit, with the record of their making in EXIF."""

import io
import json
from collections.abc import Mapping
from typing import Any

from PIL import Image
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import Refusal
from ddpm_cli.files import records
from ddpm_cli.files.images import pixels

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
SIDES = {"JPEG": 65500, "WEBP": 16383}  # pixels at most
QUALITY = 95  # of 100
RECORD_LIMIT = 60_000  # bytes; EXIF of a JPEG holds 64 KB
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286
ASCII = b"ASCII\0\0\0"  # the comment's kind


def encode(image: Tensor, suffix: str, record: Mapping[str, Any]) -> bytes:
    """Encode uint8 [C,H,W] by the ending of a file name; what is transparent is white in JPEG."""
    kind = FORMATS[suffix.lower()]
    picture = pixels.to_pillow(image)
    if max(picture.size) > SIDES[kind]:
        what = f"{picture.width}x{picture.height} pixels; a side of a {kind} has {SIDES[kind]}"
        raise Refusal(f"the result: {what} at most", "use .png")
    if kind == "JPEG" and picture.mode.endswith("A"):
        picture = pixels.convert(picture, "L" if picture.mode == "LA" else "RGB")
    buffer = io.BytesIO()
    fine = {"subsampling": 0} if kind == "JPEG" else {}
    picture.save(buffer, kind, quality=QUALITY, exif=exif(record), **fine)
    return buffer.getvalue()


def exif(record: Mapping[str, Any]) -> Image.Exif:
    """The record as the user's comment, a JSON object as in PNG."""
    made = Image.Exif()
    text = json.dumps({records.METADATA_KEY: dict(record)}, sort_keys=True).encode()
    if len(text) > RECORD_LIMIT:
        console.warn("the record of its making is too long for this format; use .png to keep it")
    else:
        made.get_ifd(EXIF_IFD)[USER_COMMENT] = ASCII + text
    return made


def read_record(image: Image.Image) -> dict[str, Any]:
    """What `encode` stored beside the pixels; {} of an image of others."""
    try:
        comment = image.getexif().get_ifd(EXIF_IFD).get(USER_COMMENT, b"")
    except Exception:  # noqa: BLE001 - the EXIF reader raises as many kinds as the decoders
        return {}
    if not isinstance(comment, bytes) or not comment.startswith(ASCII):
        return {}
    record = records.parsed(comment.removeprefix(ASCII).decode("ascii", "replace"))
    inner = record.get(records.METADATA_KEY)
    return inner if isinstance(inner, dict) else {}
