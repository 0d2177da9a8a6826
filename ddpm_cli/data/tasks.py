"""What a conditional model is trained for: how its conditioning image comes from a clean one."""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from ddpm_cli.data.degradations import degrade, enlarge, grey, noise, shrink, small
from ddpm_cli.data.filters import Filter, Filtered, filtered
from ddpm_cli.data.random_masks import random_known
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.images.scales import BYTES
from ddpm_cli.settings.knobs import (
    Blurs,
    Lights,
    Noise,
    Noises,
    NonNegative,
    Parts,
    Qualities,
    Scale,
)

# How strong filters are unless told.
QUALITY = (5, 30)  # as in Palette
SIGMA = (0.5, 2.0)
LIGHT = (0.1, 0.5)
NOISE = (0.1, 0.5)
AREAS = 4


class Task(Protocol):
    """Makes the image [B, channels, H, W] that a network sees beside the noisy one."""

    @property
    def channels(self) -> int:
        """How many it has."""

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """The conditioning image of clean images x0 [B, C, H, W] in training."""


class inpaint:  # noqa: N801  (a component is named as it is called in a config)
    """Fill holes: the network sees the known pixels, mid-grey elsewhere, and where they are.

    boxes, strokes, sides: how often each kind of hole is drawn, in proportion to the others
    (Nichol 2022, section 2.3; Saharia 2022, Palette).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        boxes: NonNegative = 2.0,
        strokes: NonNegative = 1.0,
        sides: NonNegative = 1.0,
    ) -> None:
        self.channels = shape[0] + 1
        self._weights = {"boxes": boxes, "strokes": strokes, "sides": sides}

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """Clean images x0 [B, C, H, W] with random holes."""
        height, width = x0.shape[-2:]
        known = random_known(len(x0), (height, width), rng, **self._weights)
        return self.image(x0, known.to(x0.device))

    def image(self, images: Tensor, known: Tensor) -> Tensor:
        """Images [B, C, H, W] of which `known` [B, 1, H, W], 1 or 0, says which pixels count."""
        known = known.to(images.dtype)
        return torch.cat([images * known, known], dim=1)


class upscale:  # noqa: N801
    """Enlarge: the network sees the small image brought to full size, and how noisy it was made.

    factor: how many times smaller the given image is along both axes; filter: what makes it
    small, in training and use (Saharia 2021, SR3).
    degrade: also blur it, or blur, noise and JPEG in random order (bsr; Zhang 2021), so that
    other than clean images can be enlarged.
    noise: the most Gaussian noise that is added to the small image in training, its level shown
    to the network; it makes cascades robust (Ho 2022, section 4.2). shows_level: whether it is
    shown at all. enlarge: how the small image is brought to full size, by the filter too or
    bilinearly (Dhariwal 2021's upsamplers, which see no level). The attribute `scale` is that of
    the pixels of small images.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        factor: Scale = 2.0,
        filter: Literal["bicubic", "area"] = "bicubic",
        degrade: Literal["none", "blur", "bsr"] = "none",
        noise: Noise = 0.0,
        shows_level: bool = True,
        enlarge: Literal["filter", "bilinear"] = "filter",
    ) -> None:
        self.channels, self.scale = shape[0] + shows_level, BYTES
        self.factor, self.noise = factor, noise
        height, width = shape[-2:]
        self.size = (height, width)
        self.small = (shape[0], *small(height, width, factor))
        self._filter: Literal["bicubic", "area"] = filter
        self._shows_level, self._is_bilinear = shows_level, enlarge == "bilinear"
        self._degrade: Literal["none", "blur", "bsr"] = degrade

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """Clean images x0 [B, C, H, W] made small, and noisy to a random degree."""
        low = degrade(x0, self.factor, self._degrade, rng, self._filter)
        # Files hold whole pixels, so the network shall have seen them.
        low = self.scale.values(self.scale.pixels(low)).to(x0)
        level = self.noise * rng.uniform(1, x0.device)[:, 0]
        return self.image(low, level.to(x0), rng)

    def low(self, x0: Tensor) -> Tensor:
        """Images x0 [B, C, H, W] made small by the filter alone: [B, C, h, w]."""
        return shrink(x0, self.factor, self._filter)

    def image(self, low: Tensor, level: Tensor, rng: Rng) -> Tensor:
        """Small images [B, C, h, w], made noisy to the level [B]."""
        if self.noise:
            low = noise(low, level, rng)
        large = enlarge(low, self.size, "bilinear" if self._is_bilinear else self._filter)
        if not self._shows_level:
            return large
        plane = column(level, large).expand(-1, 1, *large.shape[2:])
        return torch.cat([large, plane], dim=1)


class pairs:  # noqa: N801
    """Image to image: the network sees the image beside each one, or what a filter left of it.

    filter: makes the given image of the clean one, else it is that of data.beside; of several
    each image gets one by chance, and the network is told which (Saharia 2022, Palette).
    quality: of jpeg; sigma: of blur, in pixels; light: what low-light leaves, of 1; noise: its
    deviation, of images in [-1, 1]; each one number, or the least and the largest drawn. areas:
    greys of segments. The attribute `scale` is that of the pixels of given images, and `given`
    says how many channels they have.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        filter: Sequence[
            Literal[
                "grey", "edges", "segments", "blur", "jpeg", "low-light", "noise", "uncrop", "mask"
            ]
        ] = (),
        quality: Qualities = QUALITY,
        sigma: Blurs = SIGMA,
        light: Lights = LIGHT,
        noise: Noises = NOISE,
        areas: Parts = AREAS,
    ) -> None:
        self.given, self.scale = shape[0], BYTES
        self.filters: tuple[Filter, ...] = tuple(filter)
        self._strengths = {
            "jpeg": quality,
            "blur": sigma,
            "low-light": light,
            "noise": noise,
            "segments": (areas,),
        }
        self._refuse_idle()
        self._refuse_unfit(shape)

    def see(self, beside: int, *, are_images: bool) -> None:
        """Take images of so many channels as those beside the data, unless a filter makes them."""
        if not are_images:
            raise ConfigError(
                "task.name: pairs are of images, and the data are none; --set task.name=none"
            )
        if self.filters:
            return
        if not beside:
            fix = "--set data.beside=FOLDER, or --set task.filter=grey makes them"
            raise ConfigError(f"task.name: no images lie beside those of the data; {fix}")
        self.given, self.scale = beside, BYTES

    @property
    def channels(self) -> int:
        """Those of the given image; with several filters a plane for each says which it is."""
        told = len(self.filters) if len(self.filters) > 1 else 0
        return self.given + self.cuts + told

    @property
    def cuts(self) -> bool:
        """Whether some of the given pixels may be missing, which a plane then says."""
        return bool({"uncrop", "mask"} & {*self.filters})

    def __call__(self, x0: Tensor, rng: Rng) -> Tensor:
        """What a filter leaves of clean images x0 [B, C, H, W], as the network sees it."""
        return self.image(self.filtered(x0, rng))

    def filtered(self, x0: Tensor, rng: Rng, which: Tensor | None = None) -> Filtered:
        """Clean images x0 [B, C, H, W] by the filters `which` [B], or by those that are drawn."""
        made = filtered(x0, self.filters, self._strengths, rng, which)
        # Files hold whole pixels, so the network shall have seen them.
        whole = self.scale.values(self.scale.pixels(made.images)).to(x0)
        return made._replace(images=whole * made.known)

    def image(self, given: Filtered) -> Tensor:
        """Given images [B, K, H, W], of which those pixels that are not known show nothing."""
        images, known, which = given
        planes = [images * known]
        if self.cuts:
            planes.append(known.to(images))
        if len(self.filters) > 1:
            every = torch.arange(len(self.filters), device=images.device)
            told = (which.to(images.device)[:, None] == every).to(images)
            planes.append(told[..., None, None].expand(-1, -1, *images.shape[2:]))
        return torch.cat(planes, dim=1)

    def shown(self, seen: Tensor, channels: int) -> Tensor:
        """What the network sees [B, channels, H, W] as pictures in so many colours, or grey."""
        images = seen[:, : self.given]
        if channels == self.given:
            return images
        if channels == 1:
            return grey(images[:, :3])[:, :1]
        colours = images[:, :3].expand(-1, 3, -1, -1)
        return torch.cat([colours, torch.ones_like(colours[:, : channels - 3])], dim=1)

    def _refuse_idle(self) -> None:
        """Refuse a filter that stands twice, and the strength of one that is not there."""
        if twice := next((name for name in self.filters if self.filters.count(name) > 1), None):
            raise ValueError(f"filter {twice} stands twice; leave one out")
        usual = {
            "jpeg": ("quality", QUALITY),
            "blur": ("sigma", SIGMA),
            "low-light": ("light", LIGHT),
            "noise": ("noise", NOISE),
            "segments": ("areas", (AREAS,)),
        }
        for name, strength in self._strengths.items():
            knob, default = usual[name]
            if name not in self.filters and tuple(strength) != default:
                raise ValueError(f"{knob} of filter {name} alone; leave it out")
            if strength[0] > strength[-1]:
                raise ValueError(f"{knob} {[*strength]}; write the least first")

    def _refuse_unfit(self, shape: tuple[int, ...]) -> None:
        """Refuse filters that make nothing of images of this shape."""
        if not self.filters:
            return
        if len(shape) != 3:
            raise ValueError("the data are no images, which filters are of; leave the task out")
        if shape[0] not in (1, 3, 4):
            raise ValueError(f"images of {shape[0]} channels have no filters")
        if shape[0] == 1 and "grey" in self.filters:
            raise ValueError("filter grey: the images are grey already; choose another")
        if shape[0] == 4 and self.cuts:
            what = "what is missing is clear in a file, as images with opacity are themselves"
            raise ValueError(f"filter uncrop or mask: {what}; set data.mode=RGB")
