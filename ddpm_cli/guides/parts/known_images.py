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
) -> Input:
    """An image of the shape `takes`; others are refused, unless they shall be made to fit."""
    picture = inputs.decode(source, ranges)
    if source.name == inputs.STDIN and fit == "error" and inputs.is_larger(picture, takes):
        what = f"{inputs.shown(source)}: larger than {takes[2]}x{takes[1]} pixels"
        fix = "choose --fit crop or resize, or give a file, of which windows are made"
        raise Refusal(what, fix)
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
