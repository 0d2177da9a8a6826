"""What restoring without training is to undo: the map that took something from an image.

A component is called with the shape [C, H, W] of the whole image. What `fourier` and `sensing`
leave is no image, but measurements; `own` is code of the user's.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from ddpm_cli.data import degradations
from ddpm_cli.data.degradations import LUMA, Filter, gaussian, resize, small
from ddpm_cli.diffusion.linear_maps import Frequencies, Saved
from ddpm_cli.diffusion.measuring import Operator
from ddpm_cli.diffusion.restoration import Separable
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.settings.knobs import Factor, Fraction, Pixels, Quality, Ratio, Seed, Share

MEASURED = ("fourier", "sensing")  # what leaves no image
OWN = "own"
ENTRIES_LIMIT = 2**25  # of a random matrix: a minute to decompose


def upscale(
    shape: Sequence[int],
    *,
    factor: Factor = 2.0,
    filter: Literal["bicubic", "area"] = "bicubic",
) -> Separable:
    """Make an image `factor` times larger that gives the known one when it is shrunk again.

    filter: antialiased bicubic, or the mean over the area of a pixel.
    """
    channels, height, width = shape
    rows, columns = small(height, width, factor)
    return Separable(
        [torch.eye(channels), _resizing(height, rows, filter), _resizing(width, columns, filter)]
    )


def colorize(shape: Sequence[int]) -> Separable:
    """Make a colour image that is the known one in grey: 0.299 R + 0.587 G + 0.114 B."""
    channels, height, width = shape
    if channels != len(LUMA):
        raise ValueError(f"the model's images have {channels} channels, not red, green and blue")
    return Separable(
        [torch.tensor([LUMA], dtype=torch.float64), torch.eye(height), torch.eye(width)]
    )


def deblur(shape: Sequence[int], *, sigma: Pixels = 1.0, least: Share = 0.05) -> Separable:
    """Make an image that is the known one when a Gaussian of `sigma` pixels blurs it.

    Of patterns that the blur leaves less than the share `least` nothing is known, as they drown
    in the rounding of pixels: they are left to the model.
    """
    channels, *sides = shape
    deviation = torch.tensor([sigma], dtype=torch.float64)
    return Separable(
        [torch.eye(channels), *(gaussian(side, deviation)[0] for side in sides)], least
    )


def jpeg(shape: Sequence[int], *, quality: Quality = 10) -> Saved:
    """Make an image that is the known one when it is saved as JPEG of this quality.

    It is no linear map: methods that need singular values, or a covariance, do not take it.
    """

    def save(x: Tensor) -> Tensor:
        return degradations.jpeg(x, torch.full((len(x),), float(quality)))

    return Saved(save, shape)


def fourier(
    shape: Sequence[int],
    *,
    acceleration: Ratio = 4.0,
    center: Fraction = 0.08,
    seed: Seed = 0,
) -> Frequencies:
    """Make an image of some columns of its Fourier transform, as magnetic resonance sees it.

    Of W columns the share `center` in the middle, the lowest frequencies, is seen, and of the
    others as many, drawn by the seed, as make W / acceleration of all (Zbontar 2018, fastMRI).
    """
    width = shape[-1]
    wanted, inner = round(width / acceleration), round(width * center)
    if not 1 <= wanted <= width:
        raise ValueError(f"acceleration {acceleration:g} leaves {wanted} columns of {width}")
    if inner > wanted:
        least = f"{inner} columns in the middle, but {wanted} in all"
        raise ValueError(f"center {center:g}: {least}; give a smaller share or less acceleration")
    offset = (torch.arange(width) + width // 2) % width - width // 2  # the frequency of a column
    order = (2 * offset.abs() - (offset < 0).long()).argsort()  # 0, -1, 1, -2, ...
    chosen, others = order[:inner], order[inner:]
    chance = Rng([keyed(seed, "fourier")]).uniform(len(others))[0]
    seen = torch.zeros(width, dtype=torch.bool)
    seen[torch.cat([chosen, others[chance.argsort()[: wanted - inner]]])] = True
    return Frequencies(shape, seen)


def sensing(shape: Sequence[int], *, ratio: Share = 0.5, seed: Seed = 0) -> Separable:
    """Make an image of random sums of its pixels, fewer than these: compressed sensing.

    Of each channel the share `ratio` of as many sums as there are pixels, with normal weights of
    variance 1 / m by the seed, where m is the number of sums (Candes 2006).
    """
    channels, height, width = shape
    pixels = height * width
    sums = max(1, round(ratio * pixels))
    if sums * pixels > ENTRIES_LIMIT:
        most = ENTRIES_LIMIT / pixels**2
        raise ValueError(f"ratio {ratio:g}: {sums} sums of {pixels} pixels; at most {most:.2g}")
    weights = Rng([keyed(seed, "sensing")]).normal(torch.empty(1, sums, pixels).double())[0]
    matrices = [torch.eye(channels), weights / sums**0.5]
    return Separable(matrices, whole=shape, is_bounded=False)


def own(shape: Sequence[int]) -> Operator:
    """Make an image that is the known one to a linear map of yours, FILE.py:NAME."""
    raise ValueError("which function? Name it in place of the operator: FILE.py:NAME")


def _resizing(size: int, to: int, filter: Filter) -> Tensor:
    """The matrix [to, size] that resizes an axis: what becomes of each unit vector."""
    # Two columns wide, because torch resizes images of one column wrongly (release 2.14).
    units = torch.eye(size, dtype=torch.float64).reshape(size, 1, size, 1).expand(-1, -1, -1, 2)
    return resize(units.contiguous(), (to, 2), filter)[:, 0, :, 0].T
