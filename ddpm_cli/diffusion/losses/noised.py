"""What every objective starts from: noisy images and the network's answer to them."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion import pairing
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column


class Noised(NamedTuple):
    """Clean images x0, their levels sigma [B], x = x0 + sigma * eps and the prediction at x.

    known [B, ...]: what of x0 there is, as some cells of a table are missing (NaN). They are 0
    here, and the network sees noise of the size of normalized data there, sqrt(1 + sigma^2) eps:
    as if a value stood there that has nothing to do with the rest of its row.
    """

    x0: Tensor
    sigma: Tensor
    x: Tensor
    prediction: Prediction
    known: Tensor

    @classmethod
    def at(
        cls,
        denoise: Denoiser,
        x0: Tensor,
        sigma: Tensor,
        rng: Rng,
        condition: dict[str, object],
        nearest: int = 1,
    ) -> "Noised":
        """Noise x0 to the levels sigma [B] and ask the network.

        nearest: of how many draws the noise is the nearest.
        """
        known = ~x0.isnan()
        x0 = torch.where(known, x0, torch.zeros_like(x0))
        eps = pairing.nearest(x0, rng, nearest)
        level = column(sigma, x0)
        x = torch.where(known, x0 + level * eps, (1 + level.square()).sqrt() * eps)
        return cls(x0, sigma, x, denoise(x, sigma, **condition), known)

    def error(self, unit: Tensor) -> Tensor:
        """Mean squared error of the predicted x0, measured in units [B] of its size -> [B].

        What is missing counts for nothing, so that every cell of a table weighs the same.
        """
        error = (self.prediction.x0 - self.x0) / column(unit, self.x0)
        return (error.square() * self.known).flatten(1).mean(1)
