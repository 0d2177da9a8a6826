"""Images to be edited: found, and read in the shape of a model."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from PIL import Image, ImageColor
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files import row_places
from ddpm_cli.files.images import decoding, deep, lossy, pixels
from ddpm_cli.files.images.decoding import OWN, Picture, Ranges
from ddpm_cli.files.images.opening import SUFFIXES, is_image_name
from ddpm_cli.files.images.pixels import DEEP, Colour, Mode
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.records import Record
from ddpm_cli.settings.request_parts import Channels

Fit = Literal["error", "pad", "crop", "resize"]
MODES: dict[int, Mode] = {1: "L", 3: "RGB", 4: "RGBA"}
STDIN = "-"
OPAQUE = 255


class Source(NamedTuple):
    """Where an image is read from: its path as given, or "-", and what results are named by."""

    name: str
    stem: str


class Input(NamedTuple):
    """An image as a model takes it, and what is needed to give it back as it came.

    image: uint8 [C,H,W] in the model's shape, or int32 of a file of 16 bits. original: of the
    same type [c,h,w], the pixels of the file in their own mode (c = 1 L or I;16, 2 LA, 3 RGB, 4
    RGBA; see pixels.decoded), of their own size or, after crop and resize, of the model's. size:
    width and height of the upright file. background: as a pixel. record: what the file says of
    its own making. scale: of the pixels.
    """

    name: str
    stem: str
    image: Tensor
    original: Tensor
    size: tuple[int, int]
    fit: Fit
    background: Colour
    record: Record
    scale: Scale = BYTES

    @property
    def is_deep(self) -> bool:
        """Whether the file has 16 bits, which come back."""
        return self.original.dtype != torch.uint8

    @property
    def values(self) -> Tensor:
        """The image as float32 in [-1, 1]."""
        return self.scale.values(self.image)


def sources(paths: Sequence[str], *, repeated: bool = False) -> list[Source]:
    """The images that arguments name: files, folders (their images by name) or - for stdin.

    The same image twice is refused unless `repeated`. Files are not opened yet.
    """
    listed = [source for path in paths for source in _listed(path)]
    places = [s.name if s.name == STDIN else str(Path(s.name).absolute()) for s in listed]
    counts = Counter(places)
    twice = [s.name for s, place in zip(listed, places, strict=True) if counts[place] > 1]
    if twice and not (repeated and STDIN not in twice):
        raise ConfigError(f"{twice[0]}: named more than once; leave one out")
    return listed


def _listed(path: str) -> list[Source]:
    if not path:
        raise ConfigError("INPUT: an empty path; name an image, a folder or - for stdin")
    if path == STDIN:
        return [Source(STDIN, "stdin")]
    try:
        is_folder = Path(path).is_dir()
    except OSError:  # reading it will say why
        is_folder = False
    if not is_folder:
        return [Source(path, Path(path).stem)]
    entries = sorted(entry for entry in Path(path).iterdir() if is_image_name(entry.name))
    # reading a broken link will name it; a pipe could block for ever
    images = [Source(str(e), e.stem) for e in entries if e.is_file() or not e.exists()]
    if not images:
        fix = f"File names must end in {' '.join(SUFFIXES)}"
        raise Refusal(f"{path}: no images in this folder", fix)
    return images


def is_read_once(source: Source) -> bool:
    """Whether what a source holds is gone once it was read: stdin, and pipes that have names."""
    try:
        return source.name == STDIN or Path(source.name).is_fifo()
    except OSError:  # reading it will say why
        return False


def read(
    source: Source,
    shape: Sequence[int],
    fit: Fit = "error",
    background: str = "white",
    ranges: Ranges = OWN,
    *,
    comes_back: bool = False,
) -> Input:
    """Read one image as a model of `shape` [C,H,W] takes it; any fault is a Refusal naming it.

    Grey models see the luma of colours, colour models grey in each channel, and nobody guesses
    whether light and dark are exchanged. Transparency shows the background unless C is 4. `pad`
    centres what is smaller on the background, `crop` scales to cover the model's size and keeps
    the middle, `resize` stretches. ranges, comes_back: see decoding.decode.
    """
    picture = decode(source, ranges, comes_back=comes_back)
    return arranged(source, picture, shape, fit, background)


def decode(source: Source, ranges: Ranges = OWN, *, comes_back: bool = False) -> Picture:
    """The pixels of a source as decoding.decode gives them."""
    stream = console.binary_input() if source.name == STDIN else source.name
    return decoding.decode(stream, shown(source), ranges, comes_back=comes_back)


def shown(source: Source | Input) -> str:
    """What messages call a source."""
    return "<stdin>" if source.name == STDIN else source.name


def arranged(
    source: Source,
    picture: Picture,
    shape: Sequence[int],
    fit: Fit = "error",
    background: str = "white",
    channels: Channels | None = None,
) -> Input:
    """The decoded picture of a source, or what was made of it, as `read` would give it.

    channels: what --channels says, of verbs that have it.
    """
    (image, scale), mode, page = picture, mode_of(shape), (shape[2], shape[1])
    name, size = shown(source), image.size
    if mode == "L" and channels in (None, "auto") and _has_colours(image):
        what = "in colour, of which the model sees and makes grey alone"
        fix = "" if channels is None else ", --channels each makes red, green and blue"
        console.warn(f"{name}: {what}; -m chooses a model in colour{fix}")
    _refuse_size(name, size, page, fit)
    _refuse_opacity(name, picture, mode)
    red, green, blue = scale.colour(colour(background))
    behind = red, green, blue
    if fit == "crop" or fit == "resize":
        image = pixels.fitted(image, page, fit)
    original = deep.within(pixels.from_pillow(image), scale)
    seen = deep.seen(image, mode, scale, behind)
    page_colour = Image.new("RGB", (1, 1), colour(background)).convert(mode)
    around = scale.pixels(BYTES.values(pixels.from_pillow(page_colour))).to(seen.dtype)
    planes, record = _padded(seen, page, around), pixels.carried(image) or lossy.read_record(image)
    return Input(source.name, source.stem, planes, original, size, fit, behind, record, scale)


def _refuse_opacity(name: str, picture: Picture, mode: Mode) -> None:
    """Refuse 8 bits of another scale for a model that sees opacity, which is 0 to 255."""
    if mode == "RGBA" and picture.image.mode != DEEP and picture.scale != BYTES:
        raise Refusal(f"{name}: data.range {picture.scale}: not of a model with opacity")


def mode_of(shape: Sequence[int]) -> Mode:
    """The mode of a model's images [C,H,W]; models of anything else are refused."""
    if len(shape) != 3 or shape[0] not in MODES:
        shown = row_places.shaped(shape)
        raise Refusal(f"the model makes {shown}, no images", "choose another with -m")
    return MODES[shape[0]]


def colour(background: str) -> Colour:
    """Red, green and blue of a colour's name or #rrggbb."""
    try:
        red, green, blue, *opacity = ImageColor.getrgb(background)
    except ValueError:
        opacity = [0]
    if opacity:
        fix = "write a name, as black, or #rrggbb"
        raise ConfigError(f"--background {background!r}: no such colour; {fix}")
    return red, green, blue


def _has_colours(picture: Image.Image) -> bool:
    """Whether the channels of a picture differ, but for its opacity."""
    if picture.mode not in ("RGB", "RGBA"):
        return False
    red, green, blue = picture.split()[:3]
    return not red.tobytes() == green.tobytes() == blue.tobytes()


def is_larger(picture: Picture, shape: Sequence[int]) -> bool:
    """Whether a picture is larger than a model of `shape` [C,H,W] takes, and nowhere smaller."""
    (wide, high), (_, rows, columns) = picture.image.size, shape
    return wide >= columns and high >= rows and (wide, high) != (columns, rows)


def _refuse_size(name: str, size: tuple[int, int], page: tuple[int, int], fit: Fit) -> None:
    exceeds = size[0] > page[0] or size[1] > page[1]
    if size == page or fit in ("crop", "resize") or (fit == "pad" and not exceeds):
        return
    what = f"{name}: {size[0]}x{size[1]} pixels, the model takes {page[0]}x{page[1]}"
    choices = "crop or resize" if exceeds else "pad, crop or resize"
    raise Refusal(what, f"choose --fit {choices}")


def offset(size: tuple[int, int], page: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a page that a picture in its middle takes; sizes are (width, height)."""
    left, top = (page[0] - size[0]) // 2, (page[1] - size[1]) // 2
    return slice(top, top + size[1]), slice(left, left + size[0])


def _padded(plane: Tensor, page: tuple[int, int], around: Tensor) -> Tensor:
    """A picture [C,h,w] in the middle of a page of the colour `around` [C,1,1]."""
    padded = around.expand(len(plane), page[1], page[0]).clone()
    rows, columns = offset((plane.shape[2], plane.shape[1]), page)
    padded[:, rows, columns] = plane
    return padded


def follow(before: Input, plane: Tensor, around: int = 0) -> Tensor:
    """Fit a plane uint8 [1,h,w] of the file's size, as a mask, like the input: [1,H,W].

    around: the value beside a picture that was padded.
    """
    if (plane.shape[2], plane.shape[1]) != before.size:
        raise ValueError(f"a plane {tuple(plane.shape)} for an input of size {before.size}")
    page = (before.image.shape[2], before.image.shape[1])
    if before.fit == "crop" or before.fit == "resize":
        plane = pixels.from_pillow(pixels.fitted(pixels.to_pillow(plane), page, before.fit))
    return _padded(plane, page, torch.tensor([[[around]]], dtype=torch.uint8))


def opacity(before: Input) -> Tensor | None:
    """The opacity uint8 [1,H,W] of an input that has any, opaque beside what was padded."""
    if len(before.original) not in (2, 4):
        return None
    page = (before.image.shape[2], before.image.shape[1])
    return _padded(before.original[-1:], page, torch.full((1, 1, 1), OPAQUE, dtype=torch.uint8))


def warn_opaque(before: Input, background: str) -> None:
    """Warn of an input with clear parts that a model without opacity gives back opaque."""
    clear = opacity(before)
    if clear is not None and int(clear.min()) < OPAQUE:
        console.warn(f"{shown(before)}: comes back opaque, on {background}")


def solid(before: Input) -> Tensor:
    """Which pixels of an input are there, bool [1,H,W]: opaque ones, and none that was padded."""
    plane = torch.full_like(before.original[:1], OPAQUE, dtype=torch.uint8)
    if len(before.original) in (2, 4):
        plane = before.original[-1:].to(torch.uint8)
    page = (before.image.shape[2], before.image.shape[1])
    return _padded(plane, page, torch.zeros(1, 1, 1, dtype=torch.uint8)) == OPAQUE
