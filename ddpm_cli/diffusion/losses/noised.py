"""What every objective starts from: noisy images and the network's answer to them."""

from typing import NamedTuple

from torch import Tensor

from ddpm_cli.diffusion import pairing
from ddpm_cli.diffusion.denoiser import Denoiser, Prediction
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.shapes import column


class Noised(NamedTuple):
    """Clean images x0, their levels sigma [B], x = x0 + sigma * eps and the prediction at x."""

    x0: Tensor
    sigma: Tensor
    x: Tensor
    prediction: Prediction

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
        x = x0 + column(sigma, x0) * pairing.nearest(x0, rng, nearest)
        return cls(x0, sigma, x, denoise(x, sigma, **condition))

    def error(self, unit: Tensor) -> Tensor:
        """Mean squared error of the predicted x0, measured in units [B] of its size -> [B]."""
        error = (self.prediction.x0 - self.x0) / column(unit, self.x0)
        return error.square().flatten(1).mean(1)
