"""What a denoising diffusion GAN plays with: pairs of states, true and made, and their critic."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ddpm_cli.diffusion.denoiser import LATENT, Denoiser, Label
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column, told
from ddpm_cli.diffusion.weights import named, take


class Critic(nn.Module):
    """Logits that a state one index below another one is a true one (Xiao 2022, section 3.1).

    network(both states in the papers' scale, one behind the other as channels, label, classes).
    """

    weights, load_weights = named, take

    def __init__(self, network: nn.Module, schedule: Schedule, label: Label) -> None:
        super().__init__()
        self.network = network
        self.schedule = schedule
        self.label = label

    def forward(
        self, below: Tensor, x: Tensor, sigma: Tensor, classes: Tensor | None = None
    ) -> Tensor:
        """Logits [B] of alpha_s x_s and alpha_t x_t [B, ...], s one index below t = sigma [B]."""
        label = told(self.label(sigma, self.schedule), x, self.network)
        logits: Tensor = self.network(torch.cat([below, x], dim=1), label, classes)
        return logits.to(x.dtype)


class Pair(NamedTuple):
    """A state x [B, ...] at the level sigma [B], and the state one index below, at the level s."""

    below: Tensor
    x: Tensor
    sigma: Tensor
    s: Tensor

    @classmethod
    def drawn(cls, schedule: Schedule, x0: Tensor, t: Tensor, rng: Rng, steps: int = 0) -> "Pair":
        """A true pair: x_s of an image x0 [B, ...], and x_t of x_s, at the times t [B].

        s is one index below t, or, of so many `steps`, one step below the end of that of t.
        """
        sigma, s = between(schedule, t, steps)
        below = x0 + column(s, x0) * rng.normal(x0)
        x = below + column((sigma**2 - s**2).sqrt(), x0) * rng.normal(x0)
        return cls(below, x, sigma, s)

    def made(self, x0: Tensor, rng: Rng) -> "Pair":
        """The pair with x_s drawn from q(x_s given x_t, x0) of another image x0 [B, ...].

        Mean x0 + s^2 / t^2 (x - x0), variance s^2 (1 - s^2 / t^2) (Ho 2020, eq. 7, in
        sigma-space), as the sampler ddpm has it.
        """
        share = (self.s / self.sigma) ** 2
        mean = x0 + column(share, x0) * (self.x - x0)
        spread = column(self.s * (1 - share).sqrt(), x0)
        return self._replace(below=mean + spread * rng.normal(x0))

    def native(self, schedule: Schedule) -> tuple[Tensor, Tensor]:
        """The states in the papers' scale, the lower one first."""
        return schedule.native(self.below, self.s), schedule.native(self.x, self.sigma)


def between(schedule: Schedule, t: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The levels [B] at the times t [B] and one index below, or at both ends of the step of t.

    steps: large ones, even in time as levels `trailing` are, the n-th from n / steps to
    (n - 1) / steps.
    """
    if not steps:
        sigma = schedule.sigma(t)
        return sigma, schedule.previous(sigma)
    number = (t * steps).ceil().clamp(1, steps)
    sigma, s = schedule.sigma(number / steps), schedule.sigma((number - 1) / steps)
    return sigma, torch.where(number > 1, s, 0.0)


def answer(denoise: Denoiser, pair: Pair, rng: Rng, condition: dict[str, Tensor]) -> Tensor:
    """The generator's image [B, ...] of the noisier state of a pair, its latent drawn from rng."""
    if denoise.latents:
        like = pair.x.new_empty(len(pair.x), denoise.latents)
        condition = condition | {LATENT: rng.normal(like)}
    x0: Tensor = denoise(pair.x, pair.sigma, **condition).x0
    return x0


def judged(
    critic: Critic,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    generator: Denoiser,
    step: int,
    *,
    r1: float,
    every: int,
    steps: int = 0,
    **condition: Tensor,
) -> Tensor:
    """The critic's loss of each image: softplus(-D(true)) + softplus(D(made)) + R1 [B].

    R1 = gamma / 2 ||d D / d x_s||^2 of the true pair, x_s in the papers' scale (Mescheder 2018,
    eq. 9; Xiao 2022, eq. 5 and appendix C), at one step of `every` alone and `every` times as
    large there (Karras 2020, appendix B).
    """
    schedule, classes = critic.schedule, condition.get("classes")
    pair = Pair.drawn(schedule, x0, t, rng, steps)
    with torch.no_grad():
        made = pair.made(answer(generator, pair, rng, condition), rng)
    below, x = pair.native(schedule)
    is_held = r1 > 0 and step % every == 0
    training = torch.is_grad_enabled()
    with torch.enable_grad():
        below = below.detach().requires_grad_(is_held)
        true = critic(below, x, pair.sigma, classes)
        loss = F.softplus(-true)
        if is_held:
            (slope,) = torch.autograd.grad(true.sum(), below, create_graph=True)
            loss = loss + r1 * every / 2 * slope.square().flatten(1).sum(1)
    loss = loss + F.softplus(critic(*made.native(schedule), pair.sigma, classes))
    return loss if training else loss.detach()
