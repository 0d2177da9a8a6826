"""What a conditional model is trained for: how its conditioning image comes from a clean one."""

from typing import Literal, Protocol

import torch
from torch import Tensor

from ddpm_cli.data.degradations import degrade, enlarge, noise, shrink, small
from ddpm_cli.data.random_masks import random_known
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.files.images.scales import BYTES
from ddpm_cli.settings.knobs import Noise, NonNegative, Scale


class Task(Protocol):
    """Makes the image [B, channels, H, W] that a network sees beside the noisy one."""

    channels: int

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
