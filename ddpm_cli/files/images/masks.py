"""Masks that users give: which pixels of an image are made anew."""

import re
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import inputs, pixels
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.opening import is_image_name

ALPHA = "alpha"
FULL = 255  # of a plane: surely made anew

Size = tuple[int, int]  # width, height


class Mask(NamedTuple):
    """How masks are found and read.

    place: "alpha", a box left,top,right,bottom, a file or a folder with a mask for each image;
    empty for none. keeps: the colour of what stays. threshold: from which share of the other
    colour on a pixel is made anew.
    """

    place: str
    keeps: Literal["black", "white"] = "black"
    threshold: float = 0.5


def hole(
    mask: Mask, source: Source, size: Size, grown: tuple[int, int, int, int], before: Input
) -> Tensor:
    """What is to be made anew of an image as the model sees it: bool [1,H,W].

    size: the file's own; what it was grown by on the left, right, up and down is all hole.
    Padding beside it is not.
    """
    if mask.place == ALPHA:
        plane = inputs.opacity(before)
        if plane is None:
            fix = "give a mask as a file or a box"
            raise Refusal(f"{source.name}: has no transparency for --mask {ALPHA}", fix)
        plane = plane if mask.keeps == "white" else FULL - plane
    else:
        plane = _plane(mask.place, source, size)
        plane = FULL - plane if mask.place and mask.keeps == "white" else plane
        plane = inputs.follow(before, F.pad(plane, grown, value=FULL))
    return plane >= FULL * mask.threshold


def _plane(place: str, source: Source, size: Size) -> Tensor:
    """The mask of an image of this size, uint8 [1,h,w]: of a box white, of nothing black."""
    box = parse_box(place)
    if box is None and place:
        return _read(_found(Path(place), source), source, size)
    plane = torch.zeros(1, size[1], size[0], dtype=torch.uint8)
    if box is not None:
        left, top, right, bottom = box
        if right > size[0] or bottom > size[1]:
            what = f"{source.name}: {size[0]}x{size[1]} pixels, the box ends at {right},{bottom}"
            raise Refusal(what, "give --mask left,top,right,bottom within the image")
        plane[:, top:bottom, left:right] = FULL
    return plane


def parse_box(place: str) -> tuple[int, int, int, int] | None:
    """The numbers left, top, right, bottom of a box, the last two just outside of it."""
    if not re.fullmatch(r"\s*-?\d+\s*(,\s*-?\d+\s*)+", place):
        return None
    numbers = [int(number) for number in place.split(",")]
    if len(numbers) != 4 or min(numbers) < 0:
        raise ConfigError(f"--mask {place}: no box; write left,top,right,bottom, as 8,8,20,20")
    left, top, right, bottom = numbers
    if left >= right or top >= bottom:
        raise ConfigError(f"--mask {place}: nothing is in this box; left,top,right,bottom rise")
    return left, top, right, bottom


def _found(place: Path, source: Source) -> Path:
    """The file of an image's mask: the one given, or that of the same name in a folder."""
    if not place.is_dir():
        return place
    same = place / Path(source.name).name
    if same.is_file():
        return same
    named = [p for p in sorted(place.iterdir()) if p.stem == source.stem and is_image_name(p.name)]
    if len(named) != 1:
        why = f"{len(named)} masks are named {source.stem}" if named else "no mask has this name"
        raise Refusal(f"{place}: {why}, for {source.name}", f"name one {source.stem}.png")
    return named[0]


def _read(path: Path, source: Source, size: Size) -> Tensor:
    plane = pixels.open_image(path, "L")
    height, width = plane.shape[1:]
    if (width, height) != size:
        what = f"{path}: {width}x{height} pixels, its image {source.name} has {size[0]}x{size[1]}"
        raise Refusal(what, "give a mask of the size of the image")
    return plane
