"""Inputs and weights that make every part of a network count."""

from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion import parameterizations
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.schedules.schedule import Schedule

# Sides, patches and multipliers that leave odd sizes at every depth of a network, and none.
SIZES = list(product((28, 27, 7), (1, 2, 4), ([1], [1, 2], [1, 1, 2])))


def lively(module: nn.Module) -> nn.Module:
    """Fill the layers that start at 0, without which most of a network has no effect."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return module.eval()


def images(count: int, channels: int, size: int) -> Tensor:
    """Unit-normal square images, the same at every call."""
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(size))


def x0(count: int = 2, channels: int = 3, height: int = 28, width: int = 28) -> Tensor:
    """Images of evenly spread values in [-1, 1], the same at every call."""
    return torch.rand(count, channels, height, width, generator=torch.manual_seed(1)) * 2 - 1


class Smooth(nn.Module):
    """A smooth network of two channels and its variance channels."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        draw = partial(torch.randn, generator=generator)
        self.matrix = nn.Parameter(draw(4, 2).to(dtype))
        self.shift = nn.Parameter(draw(4).to(dtype))
        self.classes: Tensor | None = None

    def forward(self, x: Tensor, label: Tensor, classes: Tensor | None = None) -> Tensor:
        self.classes = classes
        rise = torch.tanh(label.to(x.dtype) / 10).reshape(-1, 1)
        return torch.tanh(x @ self.matrix.T + self.shift * rise)


def smooth_denoiser(schedule: Schedule, dtype: torch.dtype = torch.float64) -> Denoiser:
    """A denoiser to train: a `Smooth` network that predicts eps and learns its variance."""
    return Denoiser(
        Smooth(dtype),
        schedule,
        parameterizations.eps,
        lambda sigma, schedule: 2 * torch.log(sigma),
        learned_range=True,
    )
