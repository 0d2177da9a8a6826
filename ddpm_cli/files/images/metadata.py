"""What ddpm wrote into a picture of its own making, of a PNG read without a decoder."""

from typing import Any

from ddpm_cli.files import records
from ddpm_cli.files.images import png
from ddpm_cli.files.images.opening import BYTE_LIMIT, Readable, bounded, opened

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")  # of pictures that hold a record


def read(source: Readable) -> dict[str, Any]:
    """What pixels.encode_png or lossy.encode stored beside the pixels; without it {}.

    Another program may have packed it, or this is no PNG: then Pillow reads it as
    pixels.read_metadata does, or says what is wrong with the file.
    """
    with bounded(source) as stream:
        start = stream.tell()
        try:
            text = png.text(stream, records.METADATA_KEY, BYTE_LIMIT)
        except ValueError:
            text = None
        if record := records.parsed(text or ""):
            return record
        from ddpm_cli.files.images import lossy, pixels

        stream.seek(start)
        with opened(stream) as (image, _):
            if image.format in lossy.FORMATS.values():
                return lossy.read_record(image)
        stream.seek(start)
        return pixels.read_metadata(stream)
