"""Functions around a denoiser: (denoise, *, knobs) -> denoise, applied in the order given."""

from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction, Wrapped
from ddpm_cli.knobs import Positive


def clamp(denoise: Denoise, *, limit: Positive = 1.0) -> Denoise:
    """Clamp the predicted clean image to [-limit, limit] at every call (Ho 2020's code)."""

    def call(x: Tensor, sigma: Tensor) -> Prediction:
        prediction = denoise(x, sigma)
        return prediction._replace(x0=prediction.x0.clamp(-limit, limit))

    return Wrapped(denoise, call)
