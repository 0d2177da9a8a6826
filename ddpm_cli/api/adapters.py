"""Models as the denoisers of other libraries, which need not be installed."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.shapes import column

if TYPE_CHECKING:
    from ddpm_cli.api.arguments import Classes
    from ddpm_cli.api.model import Model


class DeepInv(nn.Module):
    """A prior for deepinv: (x [B, C, H, W] around [0, 1], sigma in that scale) -> [0, 1].

    y = (x0 + 1) / 2 has half the noise of x = x0 + 2 sigma eps.
    """

    def __init__(self, model: "Model", classes: "Classes" = None) -> None:
        super().__init__()
        self._model, self._classes = model, classes

    def forward(self, x: Tensor, sigma: float | Tensor, **_: Any) -> Tensor:
        """Take the noise out of x; sigma: one level, or one for each image."""
        level = 2 * torch.as_tensor(sigma, dtype=torch.float64).reshape(-1)
        x0 = self._model.denoise(2 * x - 1, level.expand(len(x)), self._classes).x0
        return ((x0 + 1) / 2).to(x)


class Mean(NamedTuple):
    """What azula calls a posterior: the mean of the clean images [B, ...]."""

    mean: Tensor


class Schedule(nn.Module):
    """The noise process for azula: t -> alpha_t, sigma_t of x_t = alpha_t x0 + sigma_t z."""

    def __init__(self, model: "Model") -> None:
        super().__init__()
        self._schedule = model.schedule

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """The scales of image and noise at times t [] or [B]."""
        sigma = self._schedule.sigma(t.double().cpu())
        alpha = self._schedule.alpha(sigma)
        return alpha.to(t), (alpha * sigma).to(t)


class Azula(nn.Module):
    """A denoiser for azula: (x_t [B, ...], t [] or [B]) -> an object with the mean of x0."""

    def __init__(self, model: "Model", classes: "Classes" = None) -> None:
        super().__init__()
        self._model, self._classes = model, classes
        self.schedule = Schedule(model)

    def forward(self, x_t: Tensor, t: Tensor, **_: Any) -> Mean:
        """Predict the clean images of x_t = alpha_t x0 + sigma_t z."""
        alpha, sigma = self.schedule(t)
        x = x_t / column(alpha, x_t)
        x0 = self._model.denoise(x, (sigma / alpha).double().expand(len(x)), self._classes).x0
        return Mean(x0.to(x_t))
