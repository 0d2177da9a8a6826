"""How large images are that are made of given ones, and by how many windows they are made."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.degradations import resize
from ddpm_cli.errors import Refusal, many
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.pipelines import windows
from ddpm_cli.settings.config import Config

Shape = tuple[int, ...]
WINDOWS_LIMIT = 10_000  # in one image: hours on a GPU


class Windows(NamedTuple):
    """By how many windows results are made, by the names of what they are made of.

    is_all: whether all of them are known; what is read but once tells nothing before.
    """

    of: Mapping[str, int]
    is_all: bool

    @classmethod
    def known(
        cls, sources: Sequence[Source], shape: Callable[[Source], Shape | None], trained: Shape
    ) -> "Windows":
        """What the headers of files tell; shape: of what is made of a source, None if unknown."""
        found = dict[str, int]()
        for source in sources:
            with suppress(Refusal):  # it fails alone, when it is read
                made = shape(source)
                if made is not None:
                    found[source.name] = windows_of(inputs.shown(source), made, trained)
        return cls(found, all(s.name in found or not inputs.is_read_once(s) for s in sources))

    @property
    def one(self) -> str:
        """Of what a network call is, in words: of an image if all are of one window."""
        return "an image" if self.is_all and {*self.of.values()} <= {1} else "a window"

    def words(self, times: int) -> str:
        """How many there are in all, of so many results of each source, where that is known."""
        if not self.is_all or self.one == "an image":
            return ""
        return f" by {many(times * sum(self.of.values()), 'windows')}"


def larger(low: Shape, takes: Shape, trained: Shape, config: Config) -> Shape:
    """The shape of the result of an image `low` by a model that makes `trained` of `takes`."""
    factor = config["operator"].get("factor", 1.0)
    sides = [
        whole if side == usual else round(side * factor)
        for side, usual, whole in zip(low[1:], takes[1:], trained[1:], strict=True)
    ]
    return trained[0], *sides


def say(name: str, low: Shape, takes: Shape, shape: Shape, trained: Shape) -> None:
    """Say by how many windows an image of the shape `shape` is made of `low`; see `windows_of`.

    takes: what of an image of the model's own shape, `trained`, is known.
    """
    count = windows_of(name, shape, trained)
    size = f"{low[-1]}x{low[-2]} pixels, trained on {takes[-1]}x{takes[-2]}"
    console.say(f"{name}: {size}: {shape[2]}x{shape[1]} by {many(count, 'windows')}")


def given(sides: Shape, takes: Shape) -> Shape:
    """The shape of what is given, of these sides, if none is less than those of `takes`.

    Else it is `takes` itself, as nothing is made of less.
    """
    if len(sides) != 2 or any(side < least for side, least in zip(sides, takes[1:], strict=False)):
        return takes
    return takes[0], *sides


def windows_of(name: str, shape: Shape, trained: Shape) -> int:
    """How many windows of the shape `trained` a result is made of; too many are refused."""
    sides = zip(shape[1:], trained[1:], strict=True)
    count = math.prod(len(windows.starts(side, least)) for side, least in sides)
    if count > WINDOWS_LIMIT:
        wide = "x".join(map(str, reversed(shape[1:])))
        fix = "shrink it first, by --fit resize or --downscale of upscale, or cut it into pieces"
        raise Refusal(f"{name}: {count} windows for {wide} pixels; at most {WINDOWS_LIMIT}", fix)
    return count


def brought_down(low: Shape, takes: Shape) -> Shape:
    """The shape of an image `low` that was shrunk as far as the shape `takes` fits into it."""
    ratio = min(side / least for side, least in zip(low[1:], takes[1:], strict=True))
    if ratio <= 1:
        return low
    sides = zip(low[1:], takes[1:], strict=True)
    return low[0], *(max(least, round(side / ratio)) for side, least in sides)


def shrunk(image: Tensor, to: Shape, config: Config, scale: Scale = BYTES) -> Tensor:
    """An image [c, h, w] of the height and width of `to`, by the filter of the operator.

    scale: of pixels of 16 bits.
    """
    size = (to[-2], to[-1])
    if tuple(image.shape[-2:]) == size:
        return image
    scale = BYTES if image.dtype == torch.uint8 else scale
    small = resize(scale.values(image)[None], size, config["operator"].get("filter", "bicubic"))
    return scale.pixels(small)[0].to(image.dtype)
