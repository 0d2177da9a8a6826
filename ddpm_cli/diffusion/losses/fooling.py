"""The objective of the generator of a denoising diffusion GAN."""

import torch.nn.functional as F
from torch import Tensor

from ddpm_cli.diffusion.adversary import Critic, Pair, answer
from ddpm_cli.diffusion.denoiser import Denoiser
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.settings.knobs import Few, LevelIndex, Strength


def adversarial(
    denoise: Denoiser,
    x0: Tensor,
    t: Tensor,
    rng: Rng,
    critic: Critic,
    *,
    r1: Strength = 0.05,
    every: Few = 15,
    steps: LevelIndex = 0,
    reconstruct: Strength = 0.0,
    **condition: Tensor,
) -> Tensor:
    """What a critic holds of a state that the generator leads to, against true ones: a GAN's.

    softplus(-D(x_s, x_t, t)) with x_s from q(x_s given x_t, x0 = G(x_t, z, t)), s one index below
    t: the non-saturating loss (Xiao 2022, eq. 4 and 6). It needs a table [critic]. r1: weight of
    the critic's gradient penalty, see `adversary.judged`; every: at one of so many steps.
    steps: large ones, of a schedule that has more levels; 0: one for each level. reconstruct:
    weight of ||G - x0||^2 / D beside it, which leads where the critic does not yet, towards the
    mean of images (as in UFOGen, Xu 2023); 0: the game alone, as published.
    """
    pair = Pair.drawn(denoise.schedule, x0, t, rng, steps)
    answered = answer(denoise, pair, rng, condition)
    states = pair.made(answered, rng).native(denoise.schedule)
    loss = F.softplus(-critic(*states, pair.sigma, condition.get("classes")))
    return loss + reconstruct * (answered - x0).square().flatten(1).mean(1)
