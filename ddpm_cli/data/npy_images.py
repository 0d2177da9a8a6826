"""Images that are stored as .npy arrays [C, H, W] of bytes, as EDM's data sets may hold them."""

import io
from typing import BinaryIO

from ddpm_cli.errors import Refusal

CHANNELS = (1, 3, 4)
FORM = "images are bytes [C, H, W] of 1, 3 or 4 colours; what is encoded is none"


def image(data: bytes, place: str) -> BinaryIO:
    """An array as an image file; nothing in it is ever unpickled."""
    import numpy as np
    from PIL import Image

    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:  # NumPy reads the header with Python's own parser
        why = "pickled objects are never read" if "pickle" in str(error) else "damaged"
        raise Refusal(f"{place}: no readable .npy file: {why}") from error
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or 0 in array.shape:
        shown = "x".join(map(str, array.shape))
        raise Refusal(f"{place}: an array {shown} of {array.dtype}, no image", FORM)
    planes = array if array.ndim == 3 else array[None]
    if planes.shape[0] not in CHANNELS:
        shown = "x".join(map(str, array.shape))
        raise Refusal(f"{place}: an array {shown}, no image", FORM)
    pixels = planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
    stream.seek(0)
    return stream
