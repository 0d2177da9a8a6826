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
    **condition: Tensor,
) -> Tensor:
    """What a critic holds of a state that the generator leads to, against true ones: a GAN's.

    softplus(-D(x_s, x_t, t)) with x_s from q(x_s given x_t, x0 = G(x_t, z, t)), s one index below
    t: the non-saturating loss (Xiao 2022, eq. 4 and 6). It needs a table [critic]. r1: weight of
    the critic's gradient penalty, see `adversary.judged`; every: at one of so many steps.
    steps: large ones, of a schedule that has more levels; 0: one for each level.
    """
    pair = Pair.drawn(denoise.schedule, x0, t, rng, steps)
    made = pair.made(answer(denoise, pair, rng, condition), rng)
    classes = condition.get("classes")
    return F.softplus(-critic(*made.native(denoise.schedule), pair.sigma, classes))
