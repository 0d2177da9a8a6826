"""What an image file says of its pixels beside their number: kind, depth, frames and scale."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ddpm_cli.files import records
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import BYTES, WIDE, Scale
from ddpm_cli.files.records import METADATA_KEY

if TYPE_CHECKING:
    from PIL import Image

SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")
FILMS = ("PNG", "WEBP", "TIFF", "GIF")
# Tags of TIFF 6.0: the bits of a sample, and the least and the largest value.
BITS, LIMITS = 258, ((340, 341), (280, 281))
PHOTOMETRIC, WHITE_IS_ZERO = 262, 0


class Facts(NamedTuple):
    """What there is to know before decoding.

    mode: Pillow's. is_deep: 16-bit grey. is_narrowed: other pixels of 16 bits, of which 8 are
    left. is_film: there are more images in the file. written: the scale that ddpm wrote down;
    tagged: the one of the file's tags.
    """

    mode: str
    is_deep: bool
    is_narrowed: bool
    is_film: bool
    written: Scale | None
    tagged: Scale | None

    @property
    def scale(self) -> Scale:
        """The scale of the pixels: as the file says, or all that they can be."""
        return self.written or self.tagged or (WIDE if self.is_deep else BYTES)


def of(image: "Image.Image") -> Facts:
    """Read the facts of an image that is open, but not yet decoded."""
    is_grey = image.mode in SIXTEEN_BIT
    is_deep = is_grey and not isinstance(image.info.get("transparency"), int)
    wide = is_grey or any(";16" in str(tile) for tile in getattr(image, "tile", ()))
    return Facts(
        image.mode, is_deep, wide and not is_deep, _is_film(image), _written(image), _tagged(image)
    )


def is_white_zero(image: "Image.Image") -> bool:
    """Whether the values of a TIFF fall as it gets lighter."""
    tags: Any = getattr(image, "tag_v2", {})
    return image.format == "TIFF" and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _is_film(image: "Image.Image") -> bool:
    """Whether more frames or pages follow; damage to them is none to the first."""
    try:
        return image.format in FILMS and bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - decoders raise SyntaxError, struct.error, ...
        return False


def _written(image: "Image.Image") -> Scale | None:
    """The scale in the record of a PNG that ddpm made."""
    text = image.info.get(METADATA_KEY)
    if image.format != "PNG" or not isinstance(text, str):
        return None
    scale = scales.of(records.parsed(text).get("range"))
    fits = scale is not None and (image.mode in SIXTEEN_BIT or not scale.is_deep)
    return scale if fits and image.mode in ("L", "LA", "RGB", *SIXTEEN_BIT) else None


def _tagged(image: "Image.Image") -> Scale | None:
    """The scale that the tags of a 16-bit TIFF state, or the number of its bits."""
    if image.format != "TIFF" or image.mode not in SIXTEEN_BIT:
        return None
    tags: Any = getattr(image, "tag_v2", {})
    for least, largest in LIMITS:
        if (high := _whole(tags.get(largest))) is not None:
            return scales.of([_whole(tags.get(least)) or 0, high])
    bits = _whole(tags.get(BITS)) or 16
    return scales.of([0, 2**bits - 1]) if 8 < bits < 16 else None


def _whole(value: Any) -> int | None:
    """The number in a tag, which may stand in a tuple or be a float."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        return int(first) if float(first) == int(first) else None
    except (TypeError, ValueError, OverflowError):
        return None
