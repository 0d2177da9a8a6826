"""Functions around a denoiser: (denoise, *, knobs) -> denoise, applied in the order given."""

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.diffusion.shapes import column, within
from ddpm_cli.settings.knobs import Fraction, Positive


def clamp(denoise: Denoise, *, limit: Positive = 1.0) -> Denoise:
    """Clamp the predicted clean image to [-limit, limit] at every call (Ho 2020's code)."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        x0 = within(prediction.x0, -limit, limit)
        return prediction._replace(x0=x0, raw=_raw(prediction))

    return Wrapped(denoise, call)


def threshold(denoise: Denoise, *, percentile: Fraction = 0.995) -> Denoise:
    """Dynamic thresholding: scale a clean image of too high contrast back to [-1, 1].

    s = max(1, percentile of |x0| of each image), x0 <- clamp(x0, -s, s) / s (Saharia 2022,
    section 2.3).
    """

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        # Row by row: torch.quantile refuses batches of more than 16 million numbers.
        sizes = [row.quantile(percentile) for row in prediction.x0.abs().flatten(1)]
        limit = column(torch.stack(sizes).clamp(min=1), prediction.x0)
        x0 = prediction.x0.clamp(-limit, limit) / limit
        return prediction._replace(x0=x0, raw=_raw(prediction))

    return Wrapped(denoise, call)


def _raw(prediction: Prediction) -> Tensor:
    """The clean image before any wrapper."""
    return prediction.x0 if prediction.raw is None else prediction.raw
