"""The power of images at each frequency, and what noise leaves of it."""

import torch
from torch import Tensor


def radial(image: Tensor, bands: int = 0) -> tuple[Tensor, Tensor]:
    """Frequencies [F] in cycles a pixel, and the mean power [F] of an image [C, H, W] around each.

    Power is |DFT|^2 / (H W), averaged over rings of equal width and over channels, so that noise
    of variance 1 has power 1 at every frequency. The mean of the image, frequency 0, is left out.
    """
    height, width = image.shape[-2:]
    power = torch.fft.fft2(image.double()).abs().square().mean(0) / (height * width)
    down, across = (torch.fft.fftfreq(side, dtype=torch.float64) for side in (height, width))
    radius = (down[:, None] ** 2 + across**2).sqrt()
    count = bands or max(1, min(height, width) // 2)
    ring = (radius * 2 * count).round().long()  # up to the Nyquist frequency, 1/2
    inside = (ring > 0) & (ring <= count)
    sums = torch.zeros(count + 1, dtype=torch.float64)
    sums.index_add_(0, ring[inside], power[inside])
    members = torch.bincount(ring[inside], minlength=count + 1)
    found = members > 0
    frequencies = torch.arange(count + 1, dtype=torch.float64) / (2 * count)
    return frequencies[found], sums[found] / members[found]


def left(power: Tensor, sigma: Tensor) -> Tensor:
    """What is left of each frequency [F] at levels [T]: P / (P + sigma^2), shaped [T, F].

    It is the gain of the best linear filter (Wiener), and 1/2 where noise is as strong.
    """
    noise = sigma[:, None] ** 2
    return power / (power + noise)
