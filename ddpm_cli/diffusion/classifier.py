"""A network that knows the class of noisy images, seen from the state of any process."""

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.denoiser import Denoiser, Label, Parameterization
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, double, told
from ddpm_cli.diffusion.units import USUAL, Units
from ddpm_cli.diffusion.weights import named, take


class Classifier(nn.Module):
    """Logits of p(y given x) for x = x0 + sigma * eps: network(scale * x, label).

    The scale is the input scale of a parameterization. It and the label are those of the
    classifier's own process, which may be another than that of the model it guides: at equal
    sigma all Gaussian processes hold the same image.
    """

    weights, load_weights = named, take

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization,
        label: Label,
        units: Units = USUAL,
    ) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.parameterization = parameterization
        self.label = label
        self.units = units

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Logits [B, K] of the noisy images x [B, ...] at the level sigma ([] or [B]).

        Below the lowest trained level an image is seen as if it were there; above the highest one
        it is scaled down to it, where next to no image is left.
        """
        here = double(sigma)
        lowest, highest = self.schedule.sigma(torch.tensor([0.0, 1.0], dtype=torch.float64))
        level = here.clamp(lowest, highest)
        coefficients = self.parameterization(level, self.schedule)
        scale = coefficients.scale * (level / here).clamp(max=1)
        label = told(self.label(level, self.schedule), x, self.network)
        seen = column(scale, x) * x
        if shifts := self.units.shifts(coefficients._replace(scale=scale)):
            seen = seen + column(shifts[0], x)
        logits: Tensor = self.network(seen, label)
        return logits.to(x.dtype)


def seen(classify: Classifier, x0: Tensor, t: Tensor, rng: Rng) -> Tensor:
    """What a classifier makes of the images x0 [B, ...], noised to the times t [B]: logits."""
    sigma = classify.schedule.sigma(t)
    logits: Tensor = classify(x0 + column(sigma, x0) * rng.normal(x0), sigma)
    return logits


Trained = Denoiser | Classifier
