"""Normal data of which something is measured: the denoiser, and the posterior, in closed form."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise, Prediction
from ddpm_cli.diffusion.levels import karras
from ddpm_cli.diffusion.measuring import Measured, Method
from ddpm_cli.diffusion.restoration import Separable
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.schedules.tables import cosine
from ddpm_cli.diffusion.steps import Step
from ddpm_cli.diffusion.walk import start, walk


def numbers(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


class Normal(NamedTuple):
    """Rows x [B, D] of a normal distribution, and E[x0 given x] of them."""

    mean: Tensor
    covariance: Tensor
    schedule: Schedule = cosine()

    def __call__(self, x: Tensor, sigma: Tensor) -> Prediction:
        eye = torch.eye(len(self.mean), dtype=torch.float64)
        scatter = self.covariance + float(sigma.flatten()[0]) ** 2 * eye
        gain = self.covariance @ torch.linalg.inv(scatter)
        return Prediction(self.mean + (x - self.mean) @ gain.T)

    def given(self, matrix: Tensor, y: Tensor, noise: float) -> "Normal":
        """The posterior of y [M] = A x + noise z."""
        inner = matrix @ self.covariance @ matrix.T + noise**2 * torch.eye(len(y)).double()
        gain = self.covariance @ matrix.T @ torch.linalg.inv(inner)
        mean = self.mean + gain @ (y - matrix @ self.mean)
        return Normal(mean, self.covariance - gain @ matrix @ self.covariance)


SIZE = 4
ROOT = numbers(SIZE, SIZE, seed=1) / 2
DATA = Normal(numbers(SIZE, seed=2) / 2, ROOT @ ROOT.T / 2)
UNIT = Normal(torch.zeros(SIZE).double(), torch.eye(SIZE).double())
MATRIX = numbers(2, SIZE, seed=3) * 0.7
SUMS = Separable([MATRIX], whole=(SIZE,), is_bounded=False)
NOISE = 0.2


def known(count: int, noise: float = NOISE) -> Measured:
    """The same measurement of so many rows."""
    y = MATRIX @ torch.tensor([0.9, -0.4, 0.3, 0.5]).double() + noise * numbers(2, seed=4)
    return Measured(SUMS, y.expand(count, -1), noise)


def drawn(
    method: Method, data: Denoise, step: Step, count: int, levels: Tensor | None = None
) -> Tensor:
    """Samples [count, D] by a method, along levels that are far apart enough to be few."""
    wrapped = method.wrap(data) if method.wrap else data
    along = karras(data.schedule, count=40, high=60.0, low=0.01) if levels is None else levels
    rng = Rng(range(count))
    x = start(wrapped, along, torch.empty(count, SIZE).double(), rng)
    predictor = method.predictor(step) if method.predictor else step
    ways = {"corrector": method.corrector, "constrain": method.constrain}
    *_, last = walk(wrapped, x, along, rng, predictor=predictor, **ways)
    return last.x
