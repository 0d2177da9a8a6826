"""Images of which something is known, read as a model of a fixed size takes them."""

from typing import Literal

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import Refusal
from ddpm_cli.files.images import inputs, masks
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.masks import Mask


def read(
    source: Source,
    takes: tuple[int, ...],
    fit: Literal["error", "crop", "resize"],
    ranges: Ranges,
    undone: str,
) -> Input:
    """An image of the shape `takes`; a larger one is refused, as other verbs walk in windows.

    undone: the operator that left it, or "" of a mask.
    """
    picture = inputs.decode(source, ranges)
    (wide, high), (_, rows, columns) = picture.image.size, takes
    if fit == "error" and wide >= columns and high >= rows and (wide, high) != (columns, rows):
        name = inputs.shown(source)
        what = f"{name}: {wide}x{high} pixels, the model takes {columns}x{rows}"
        verb = f"upscale --task {undone}" if undone else "inpaint"
        raise Refusal(what, f"choose --fit crop or resize, or ddpm {verb}, which walks in windows")
    return inputs.arranged(source, picture, takes, fit)


def known(mask: Mask, source: Source, picture: Input) -> Tensor:
    """The pixels that a mask leaves of an image, bool [1, H, W]; their share is said."""
    mask.refuse_unusable()
    hole = masks.hole(mask, source, picture.size, (0, 0, 0, 0), picture)
    share = masks.share(hole, picture)
    if share in (0, 1):
        places = ", ".join(mask.places)
        console.warn(f"{places}: {'nothing' if share else 'all'} of the image is known")
    else:
        console.say(f"{share:.1%} of the image is made anew")
    return ~hole
