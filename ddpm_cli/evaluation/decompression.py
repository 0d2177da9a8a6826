"""What a receiver sees of images while their bits come in (Ho 2020, section 4.3)."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.milestones import OF_IMAGES, milestones

SHOWN = 4  # images
STAGES = 8  # of each, the last of them is the image itself


class Decompression:
    """Keeps what is predicted of the first few images at some levels of a walk down to 0."""

    def __init__(self, levels: Tensor) -> None:
        """Choose among the levels [L + 1], evenly in log-SNR where images differ."""
        self.places = milestones(levels, STAGES, OF_IMAGES)
        self._sigmas = [float(levels[place]) for place in self.places]
        self._rows = list[Tensor]()
        self._seen = dict[float, Tensor]()

    @property
    def images(self) -> Tensor:
        """The stages [N, K, ...] of each image."""
        return torch.cat(self._rows)

    @property
    def _left(self) -> int:
        return SHOWN - sum(map(len, self._rows))

    def watching(self, denoise: Denoise) -> Denoise:
        """The same denoiser, whose predictions of images that are still wanted are kept."""
        if not self._left:
            return denoise

        def call(x: Tensor, sigma: Tensor) -> Prediction:
            prediction = denoise(x, sigma)
            if sigma.ndim == 0 and float(sigma) in self._sigmas:
                self._seen[float(sigma)] = prediction.x0[: self._left].cpu()
            return prediction

        return Wrapped(denoise, call)

    def add(self, x0: Tensor) -> None:
        """Take that the batch x0 [B, ...] was walked with."""
        if not self._left:
            return
        self._seen[0.0] = x0[: self._left].cpu()
        self._rows.append(torch.stack([self._seen[sigma] for sigma in self._sigmas], dim=1))
