"""What ddpm wrote into a PNG of its own making, read without a decoder."""

from typing import Any

from ddpm_cli.files import records
from ddpm_cli.files.images import png
from ddpm_cli.files.images.opening import BYTE_LIMIT, Readable, bounded


def read(source: Readable) -> dict[str, Any]:
    """What pixels.encode_png stored beside the pixels; an image without it gives {}.

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
        from ddpm_cli.files.images.pixels import read_metadata

        stream.seek(start)
        return read_metadata(stream)
