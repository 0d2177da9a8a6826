"""Images with holes: read, put on a larger canvas if asked for, with their masks."""

import re
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import inputs, masks
from ddpm_cli.files.images.decoding import OWN, Picture, Ranges
from ddpm_cli.files.images.inputs import Fit, Input, Source
from ddpm_cli.files.images.masks import Mask, Size
from ddpm_cli.files.images.opening import PIXEL_LIMIT
from ddpm_cli.files.images.pixels import DEEP
from ddpm_cli.settings.request_parts import Channels

NEARLY_ALL = 0.95  # of an image: a mask that makes more anew may be the wrong way round

Growth = tuple[int, int, int, int]  # pixels on the left, on the right, above and below
NONE: Growth = (0, 0, 0, 0)


class Canvas(NamedTuple):
    """How images and their masks are read for a model of `shape` [C,H,W].

    growth: how much is put around each; panorama: the size to which each is brought; ranges: by
    which scales pixels are read; channels: see inputs.arranged.
    """

    shape: tuple[int, ...]
    mask: Mask
    growth: Growth
    panorama: Size | None
    fit: Fit
    background: str
    ranges: Ranges = OWN
    channels: Channels = "auto"

    def read(self, source: Source) -> tuple[Input, Tensor]:
        """An image as the model sees it, and what of it is to be made anew, bool [1,H,W]."""
        picture = inputs.decode(source, self.ranges, comes_back=True)
        size, growth = picture.image.size, self.growth
        if self.panorama is not None:
            growth = _around(inputs.shown(source), size, self.panorama)
        picture = _grown(inputs.shown(source), picture, growth)
        page = self._page(picture.image.size)
        before = inputs.arranged(source, picture, page, self.fit, self.background, self.channels)
        hole = masks.hole(self.mask, source, size, growth, before)
        if growth == NONE:
            _warn(inputs.shown(source), masks.share(hole, before), self.mask)
        return before, hole

    def _page(self, size: Size) -> tuple[int, ...]:
        """The shape in which an image is read: large ones are not made smaller unasked."""
        channels, height, width = self.shape
        if self.fit in ("crop", "resize"):
            return self.shape
        return channels, max(height, size[1]), max(width, size[0])


def parse_growth(text: str) -> Growth:
    """The numbers left, right, up and down of --extend."""
    match = re.fullmatch(r"\s*(\d{1,6})" + r"\s*,\s*(\d{1,6})" * 3 + r"\s*", text)
    if match is None or not any(map(int, match.groups())):
        raise ConfigError(f"--extend {text}: write pixels left,right,up,down, as 14,14,0,0")
    left, right, up, down = map(int, match.groups())
    return left, right, up, down


def parse_size(text: str) -> Size:
    """Width and height of --panorama."""
    match = re.fullmatch(r"\s*([1-9]\d{0,5})\s*[xX]\s*([1-9]\d{0,5})\s*", text)
    if match is None:
        raise ConfigError(f"--panorama {text}: write WIDTHxHEIGHT, as 2304x256")
    return int(match[1]), int(match[2])


def _around(name: str, size: Size, page: Size) -> Growth:
    """What is missing around an image in the middle of a page."""
    wide, high = page[0] - size[0], page[1] - size[1]
    if wide < 0 or high < 0:
        what = f"{name}: {size[0]}x{size[1]} pixels, larger than --panorama {page[0]}x{page[1]}"
        raise Refusal(what, "ask for a larger one")
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def _grown(name: str, picture: Picture, growth: Growth) -> Picture:
    """The picture on its canvas, which is clear, or black if there is no alpha."""
    (left, right, up, down), (image, scale) = growth, picture
    size = image.width + left + right, image.height + up + down
    if size[0] * size[1] > PIXEL_LIMIT:
        what = f"{name}: {size[0]}x{size[1]} pixels in all; the limit is {PIXEL_LIMIT}"
        raise Refusal(what, "ask for fewer")
    page = Image.new(image.mode, size, scale.low if image.mode == DEEP else 0)
    page.paste(image, (left, up))
    return picture._replace(image=page)


def _warn(name: str, share: float, mask: Mask) -> None:
    """Warn of masks that may be the wrong way round."""
    if not share:
        console.warn(f"{name}: the mask makes nothing anew, the image is copied")
    elif share > NEARLY_ALL:
        fix = f"--mask-keeps {mask.turned} turns it round"
        console.warn(f"{name}: the mask makes {share:.1%} of the image anew; {fix}")
