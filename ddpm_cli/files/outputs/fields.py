"""What a denoiser does to the points of a plane at one level: drift, score and density."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.mixtures import Mixture
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.outputs.panels import Arrows, Field, Ground, Slopes
from ddpm_cli.files.outputs.plots import Box

GRID = 20  # arrows along each axis of a drift
FEWER = 15  # of a score, which may have another one beside it
FINE = 90  # places of a density along each axis


class View(NamedTuple):
    """A level of a walk: what is asked there, in batches of rows like `like`, and what is true.

    law: of the data in the units of the network, if it is known.
    """

    denoise: Denoise
    sigma: Tensor
    like: Tensor
    info: DataInfo
    law: Mixture | None = None

    def drift(self) -> Arrows:
        """The drift where the walk's points are."""
        places = self._grid(GRID)
        moved = places + drift(self.denoise, places, self.sigma, len(self.like))
        at = self.info.restore(places)
        return Arrows(at, self.info.restore(moved) - at)

    def field(self, limits: Box) -> Field | Slopes:
        """The score of x_t, and beside it the true one on its density if that is known."""
        is_line = self.info.row == (1,)
        places, schedule = self._grid(FINE if is_line else FEWER), self.denoise.schedule
        x = schedule.from_native(places, self.sigma)
        learned = score(self.denoise, x, self.sigma, len(self.like))
        true = None if self.law is None else self._units(self.law.score(x, self.sigma))
        at = self.info.restore(places)
        if is_line:
            density = None if self.law is None else self.law.log_density(x, self.sigma).exp()
            truth = None if true is None else true[:, 0]
            return Slopes(at[:, 0], self._units(learned)[:, 0], truth, density)
        return Field(at, self._units(learned), true, self.ground(limits))

    def share(self, points: Tensor, *, is_end: bool) -> float:
        """The share of points [N, D] in the units of the data in the first component of the law.

        is_end: they are samples, which no noise scales.
        """
        if self.law is None:
            raise ValueError("no law to tell components apart by")
        x = self.info.normalized(points)
        if not is_end:
            x = self.denoise.schedule.from_native(x, self.sigma)
        return float((self.law.chances(x, self.sigma).argmax(1) == 0).double().mean())

    def ground(self, limits: Box) -> Ground | None:
        """The density of x_t on a grid within limits, in the units of the data."""
        if self.law is None:
            return None
        line = [torch.linspace(low, high, FINE, dtype=torch.float64) for low, high in limits]
        places = torch.stack(torch.meshgrid(*line, indexing="xy"), dim=-1)
        seen = self.info.normalized(places.flatten(0, 1))
        x = self.denoise.schedule.from_native(seen, self.sigma)
        density = self.law.log_density(x, self.sigma).exp()
        return Ground(places, density.reshape(FINE, FINE))

    def _grid(self, count: int) -> Tensor:
        """Native places [count^2, 2] where the points of the walk are."""
        schedule = self.denoise.schedule
        reach = 2.5 * float(schedule.alpha(self.sigma) * schedule.prior(self.sigma))
        line = torch.linspace(-reach, reach, count, dtype=self.like.dtype)
        grid = line[:, None] if self.info.row == (1,) else torch.cartesian_prod(line, line)
        return grid.to(self.like.device)

    def _units(self, field: Tensor) -> Tensor:
        """A gradient as a direction in the units of the data."""
        return field.cpu() * torch.tensor(self.info.std, dtype=field.dtype)


@torch.no_grad()
def drift(denoise: Denoise, native: Tensor, sigma: Tensor, batch: int) -> Tensor:
    """mu(x_t) - x_t in the native scale: where one trained step moves x_t [N, D] on average.

    With t -> s one of T (or of 1000) steps, mu = alpha_s (x0 + (s / t)^2 (x - x0)) at
    x = x_t / alpha_t (Ho 2020, eq. 7). A denoiser with bound conditions takes whole batches.
    """
    schedule = denoise.schedule
    low, x = schedule.previous(sigma), schedule.from_native(native, sigma)
    x0 = _clean(denoise, x, sigma, batch)
    mean = x0 + float(low / sigma) ** 2 * (x - x0)
    return schedule.native(mean, low) - native


@torch.no_grad()
def score(denoise: Denoise, x: Tensor, sigma: Tensor, batch: int) -> Tensor:
    """The gradient of log p at x [N, D]: (x0 - x) / sigma^2 (Tweedie's formula)."""
    return (_clean(denoise, x, sigma, batch) - x) / float(sigma) ** 2


def _clean(denoise: Denoise, x: Tensor, sigma: Tensor, batch: int) -> Tensor:
    """The clean images of x [N, D], asked for in batches of that size."""
    padded = torch.cat([x, x[:1].expand(-len(x) % batch, -1)])
    clean = [denoise(part, sigma).guided(float(sigma)) for part in torch.split(padded, batch)]
    return torch.cat(clean)[: len(x)]
