"""Halving and doubling images and signals: plainly, by convolutions, and filtered.

The filter is [1, 3, 3, 1]; shapes are those of images, signals have one axis less.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.networks.parts.grids import PLANE, Grid


def resize(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Nearest-neighbour upsampling to the size of the skip it will meet (odd sizes too)."""
    return F.interpolate(x, size=size, mode="nearest")


def halve(x: Tensor) -> Tensor:
    """Mean over 2x2 pixels; an odd last row or column is averaged alone."""
    mean = F.avg_pool2d if x.ndim == 4 else F.avg_pool1d
    return mean(x, 2, ceil_mode=True, count_include_pad=False)


def blur(x: Tensor) -> Tensor:
    """Filter [1, 2, 1] / 4 along both axes, the outside being 0.

    With the means of `halve` it makes the filter [1, 3, 3, 1] / 8 of Song 2021 (appendix H.1) and
    Karras 2020, because [1, 3, 3, 1] = [1, 2, 1] * [1, 1]; after `resize` likewise.
    """
    return _mean_of_neighbours(_mean_of_neighbours(F.pad(x, _around(x, 1))))


def shrink(x: Tensor, fir: bool) -> Tensor:
    """Half the size, rounded up, low-pass filtered first if `fir`."""
    return halve(blur(x) if fir else x)


def enlarge(x: Tensor, size: tuple[int, ...], fir: bool) -> Tensor:
    """Twice the size, cut to `size`, low-pass filtered afterwards if `fir`."""
    return blur(resize(x, size)) if fir else resize(x, size)


def shrink_mirrored(x: Tensor) -> Tensor:
    """Half the size, rounded up, by the filter [1, 3, 3, 1] / 8 between mirrors."""
    return halve(_mean_of_neighbours(_mean_of_neighbours(_mirrored(even(x)))))


def enlarge_mirrored(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Twice the size, cut to `size`, by the filter [1, 3, 3, 1] / 4 between mirrors."""
    x = F.interpolate(_mirrored(x), scale_factor=2, mode="nearest")
    x = _mean_of_neighbours(_mean_of_neighbours(x))
    return x[..., 1 : 1 + size[0], 1 : 1 + size[1]]


class Downsample(nn.Module):
    """3x3 convolution with stride 2: half the size, rounded up.

    fir: low-pass filter first. same: pad only behind the image, as TensorFlow does and so DDPM's
    own code, not on both sides. mean: no stride, but means over 2x2 pixels (Karras 2022).
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        *,
        fir: bool = False,
        same: bool = False,
        mean: bool = False,
        grid: Grid = PLANE,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.fir, self.same, self.mean = fir, same, mean and not fir
        stride, padding = 1 if self.mean else 2, 0 if fir or same else 1
        self.conv = grid.conv(width_in, width, 3, stride=stride, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, width, ceil(H / 2), ceil(W / 2)]."""
        if self.mean:
            return halve(self.conv(x))
        if self.fir:
            x = F.pad(even(x), _around(x, 2))
            for _ in range(3):
                x = _mean_of_neighbours(x)
        elif self.same:
            x = F.pad(even(x), (0, 1) * self.grid.axes)
        elif 1 in x.shape[2:] and not self.grid.periodic:
            # On a single pixel oneDNN leaves bfloat16 gradients unset where a weight meets
            # nothing but its own padding; rows of zeros it takes for pixels.
            x, convolve = F.pad(x, _around(x, 1)), F.conv2d if x.ndim == 4 else F.conv1d
            return convolve(x, self.conv.weight, self.conv.bias, stride=2)
        out: Tensor = self.conv(x)
        return out


class Upsample(nn.Module):
    """Nearest-neighbour upsampling to a given size and a 3x3 convolution.

    spill: what the filter spreads beyond the edges is convolved, too, as where the filter comes
    last (Karras 2020).
    """

    def __init__(
        self, width: int, *, fir: bool = False, spill: bool = False, grid: Grid = PLANE
    ) -> None:
        super().__init__()
        self.fir, self.spill = fir, spill
        self.conv = grid.conv(width, width, 3, padding=0 if spill else 1)

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """[B, C, H, W] -> [B, C, *size]."""
        if self.spill:
            x = F.pad(x, (1, 1, 1, 1))
            x = enlarge(x, (2 * x.shape[-2], 2 * x.shape[-1]), self.fir)
            whole: Tensor = self.conv(x)
            return whole[..., 1 : size[0] + 1, 1 : size[1] + 1].contiguous()
        out: Tensor = self.conv(enlarge(x, size, self.fir))
        return out


class Shrink(nn.Module):
    """Half the size without any weights, low-pass filtered first if `fir`."""

    def __init__(self, *, fir: bool = False) -> None:
        super().__init__()
        self.fir = fir

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, ceil(H / 2), ceil(W / 2)]."""
        return shrink(x, self.fir)


class Enlarge(nn.Module):
    """Upsampling to a given size without any weights, low-pass filtered behind if `fir`."""

    def __init__(self, *, fir: bool = False) -> None:
        super().__init__()
        self.fir = fir

    def forward(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        """[B, C, H, W] -> [B, C, *size]."""
        return enlarge(x, size, self.fir)


class Pyramid(nn.Module):
    """The input image beside the encoder, half the size at each level and added to it.

    residual: the sum becomes the image of the next level, which a filtered, strided convolution
    has brought to the encoder's width (NCSN++, Song 2021, appendix H.1); otherwise the image is
    only shrunk, and a 1x1 convolution adds it.
    """

    def __init__(
        self,
        width_in: int,
        width: int,
        *,
        residual: bool,
        fir: bool,
        rescale: bool,
        same: bool = False,
        mean: bool = False,
        grid: Grid = PLANE,
    ) -> None:
        super().__init__()
        self.residual, self.fir = residual, fir
        self.gain = 0.5**0.5 if residual and rescale else 1.0
        self.conv = (
            Downsample(width_in, width, fir=fir, same=same, mean=mean, grid=grid)
            if residual
            else grid.conv(width_in, width, 1)
        )

    def forward(self, h: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """h [B, width, H / 2, W / 2], image [B, C, H, W] -> the sum, the image of this level."""
        if self.residual:
            h = (h + self.conv(image)) * self.gain
            return h, h
        image = shrink(image, self.fir)
        return h + self.conv(image), image


def _mirrored(x: Tensor) -> Tensor:
    """One pixel more on each side, those next to the edge; a single one is repeated."""
    for axis, sides in ((-2, (0, 0, 1, 1)), (-1, (1, 1, 0, 0))):
        x = F.pad(x, sides, mode="reflect" if x.shape[axis] > 1 else "replicate")
    return x


def _mean_of_neighbours(x: Tensor) -> Tensor:
    """Mean over 2x2 pixels at every place: one pixel less along both axes."""
    mean = F.avg_pool2d if x.ndim == 4 else F.avg_pool1d
    return mean(x, 2, stride=1)


def even(x: Tensor) -> Tensor:
    """Repeat an odd last row or column, so that a stride of 2 keeps it."""
    odd = [side % 2 for side in reversed(x.shape[2:])]
    return F.pad(x, [n for more in odd for n in (0, more)], mode="replicate") if any(odd) else x


def _around(x: Tensor, count: int) -> list[int]:
    """So many values on both sides of each axis, as F.pad takes them."""
    return [count, count] * (x.ndim - 2)
