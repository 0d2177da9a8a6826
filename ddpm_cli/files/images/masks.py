"""Masks that users give: which pixels of an image are made anew."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.images import inputs, mask_files
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.mask_files import FULL, Keeps
from ddpm_cli.files.images.opening import is_image_name

ALPHA = "alpha"
TURNED = {
    "auto": "white",
    "black": "white",
    "white": "black",
    "clear": "opaque",
    "opaque": "clear",
}

Size = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Mask:
    """How masks are found and read; what any of several places says is made anew.

    places: "alpha", a box left,top,right,bottom, a file or a folder with a mask for each image.
    keeps: what stays: black or white, or what is clear or opaque; auto: see mask_files.read.
    threshold: from which share of the other colour on a pixel is made anew. said: what was said
    of mask files already.
    """

    places: Sequence[str] = ()
    keeps: Keeps = "auto"
    threshold: float = 0.5
    said: set[str] = field(default_factory=set)

    @property
    def turned(self) -> str:
        """The opposite of what stays, as --mask-keeps takes it."""
        return TURNED.get(self.keeps, "white")

    def refuse_unusable(self) -> None:
        """Refuse places that make no sense, before any image is read."""
        boxes = [place for place in self.places if parse_box(place)]
        if boxes and self.keeps in ("clear", "opaque"):
            fix = "choose black or white"
            raise ConfigError(f"--mask-keeps {self.keeps}: {boxes[0]} has no alpha; {fix}")
        if "" in self.places:
            raise ConfigError("--mask: an empty name; give a file, a folder, a box or alpha")


def hole(
    mask: Mask, source: Source, size: Size, grown: tuple[int, int, int, int], before: Input
) -> Tensor:
    """What is to be made anew of an image as the model sees it: bool [1,H,W].

    size: the file's own; what it was grown by on the left, right, up and down is all hole.
    Padding beside it is not.
    """
    planes = [
        inputs.follow(before, F.pad(plane, grown, value=FULL))
        for plane in _planes(mask, source, size)
    ]
    if ALPHA in mask.places:
        planes.append(_own(mask, source, before))
    return torch.stack(planes).amax(0) >= FULL * mask.threshold


def share(anew: Tensor, before: Input) -> float:
    """The share of an image, without padding, that a hole bool [1,H,W] makes anew."""
    return float(anew.sum()) / before.original[0].numel()


def _own(mask: Mask, source: Source, before: Input) -> Tensor:
    """What is transparent in the image itself, or what is opaque if that is turned round."""
    plane = inputs.opacity(before)
    if plane is None:
        fix = "give a mask as a file or a box"
        raise Refusal(f"{source.name}: has no transparency for --mask {ALPHA}", fix)
    return plane if mask.keeps in ("white", "clear") else FULL - plane


def _planes(mask: Mask, source: Source, size: Size) -> Iterator[Tensor]:
    """What each mask file makes anew, and what all boxes together do: uint8 [1,h,w]."""
    boxes = [box for place in mask.places if (box := parse_box(place))]
    if boxes or not mask.places:
        plane = torch.zeros(1, size[1], size[0], dtype=torch.uint8)
        for box in boxes:
            _paint(plane, box, source, size)
        yield FULL - plane if mask.keeps == "white" and boxes else plane
    for place in mask.places:
        if place != ALPHA and not parse_box(place):
            yield _read(mask, _found(Path(place), source), source, size)


def _paint(plane: Tensor, box: tuple[int, int, int, int], source: Source, size: Size) -> None:
    left, top, right, bottom = box
    if right > size[0] or bottom > size[1]:
        what = f"{source.name}: {size[0]}x{size[1]} pixels, the box ends at {right},{bottom}"
        raise Refusal(what, "give --mask left,top,right,bottom within the image")
    plane[:, top:bottom, left:right] = FULL


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


def _read(mask: Mask, path: Path, source: Source, size: Size) -> Tensor:
    """The plane of a mask file, which must have the image's size; what it was read as is said."""
    plane, words = mask_files.read(path, mask.keeps, mask.threshold)
    height, width = plane.shape[1:]
    if (width, height) != size:
        what = f"{path}: {width}x{height} pixels, its image {source.name} has {size[0]}x{size[1]}"
        raise Refusal(what, "give a mask of the size of the image")
    if words and words not in mask.said:
        mask.said.add(words)
        console.say(f"{path}: {words}")
    return plane
