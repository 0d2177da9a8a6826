"""A weight for every noise level that is learned beside the model: its uncertainty there."""

import math

import torch
from torch import Tensor, nn

from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, double
from ddpm_cli.training.optimizers import adamw
from ddpm_cli.training.players import Player, part
from ddpm_cli.training.state import Draw, Remembering

WIDTH = 128  # features, as in EDM2
LR, BETA2 = 0.01, 0.99  # a step changes u by 0.1 at most


class Uncertainty(nn.Module):
    """u(sigma), a linear layer on Fourier features of ln(sigma) / 4; it begins as 0.

    Features sqrt(2) cos(2 pi (f x + p)), f normal and p uniform, drawn once (Karras 2024, EDM2,
    appendix B.3).
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self) -> None:
        super().__init__()
        rng = Rng([0])  # the same features in every run
        self.register_buffer("frequencies", rng.normal(torch.empty(1, WIDTH))[0])
        self.register_buffer("phases", rng.uniform(WIDTH)[0])
        self.weight = nn.Parameter(torch.zeros(WIDTH))
        self.offset = nn.Parameter(torch.zeros(()))

    def forward(self, sigma: Tensor) -> Tensor:
        """Levels [B] -> u [B]; levels without end, as of no signal at all, are very high ones."""
        x = column(double(sigma).log().clamp(-40, 40), self.weight) / 4
        angles = 2 * math.pi * (x[:, None] * self.frequencies + self.phases)
        u: Tensor = math.sqrt(2 / WIDTH) * angles.cos() @ self.weight + self.offset
        return u


class Uncertain:
    """A draw of times whose weights become e^-u(sigma) as large, u being learned from the losses.

    With the losses L of single images, e^-u L + u is minimized over the model, for which e^-u is
    a weight, and over u, whose optimum is ln E[L] at each level: all then count alike (Kendall
    2018, eq. 7; Karras 2024, EDM2, eq. 22).
    """

    def __init__(self, draw: Draw, device: torch.device, dtype: torch.dtype) -> None:
        self.draw = draw
        module = Uncertainty().to(device, dtype)
        self.player = Player(module, adamw(list(module.parameters())))
        self._levels = torch.zeros(0)  # those of the last times

    def __call__(self, schedule: Schedule, n: int, rng: Rng) -> tuple[Tensor, Tensor]:
        """Draw n times, and weigh them by what the losses at their levels were."""
        t, weight = self.draw(schedule, n, rng)
        with torch.no_grad():
            self._levels = schedule.sigma(t)
            u = self.player.module(self._levels)
        return t, column(weight, u) * torch.exp(-u)

    def update(self, t: Tensor, losses: Tensor) -> None:
        """Follow the gradient of e^-u L + u over the batch of the last times, losses [B]."""
        with torch.enable_grad():
            u = self.player.module(self._levels)
            (torch.exp(-u) * losses.detach().to(u) + u).mean().backward()
        self.player.step(lr=LR, betas=(0.9, BETA2), weight_decay=0.0, clip=0.0)
        self.player.module.zero_grad()
        if isinstance(self.draw, Remembering):
            self.draw.update(t, losses)

    def tensors(self) -> dict[str, Tensor]:
        """What must be kept to go on."""
        kept = {f"uncertainty.{k}": v for k, v in self.player.tensors().items()}
        return kept | (self.draw.tensors() if isinstance(self.draw, Remembering) else {})

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` returned."""
        self.player.load(part(tensors, "uncertainty."))
        if isinstance(self.draw, Remembering):
            self.draw.load({k: v for k, v in tensors.items() if not k.startswith("uncertainty.")})
