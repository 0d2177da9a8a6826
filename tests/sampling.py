"""Every sampler of the catalog with the settings it is tested with, and walks with it."""

import math
from functools import partial
from importlib.util import find_spec

import pytest
import torch
from declared import SAMPLERS
from exact import FOUR_PIXELS, by_sigma, certain
from golden.analytic_model import Mixture
from torch import Tensor

from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Draws
from ddpm_cli.diffusion.walk import start, walk

NEEDS = {"ode": "torchdiffeq"}

CASES = [(name, knobs) for name, declared in SAMPLERS.items() for knobs in declared.settings]


def cases(*, low: float = 0, high: float = math.inf) -> pytest.MarkDecorator:
    """The samplers of an order within these bounds."""
    chosen = [
        pytest.param(
            name,
            settings,
            id="-".join([name, *map(str, settings.values())]),
            marks=pytest.mark.skipif(
                name in NEEDS and find_spec(NEEDS[name]) is None, reason="needs an extra"
            ),
        )
        for name, settings in CASES
        if low <= SAMPLERS[name].order <= high
    ]
    return pytest.mark.parametrize(("name", "settings"), chosen)


def images(name: str, count: int) -> Tensor:
    """So many images, but only one for samplers that solve each image by itself."""
    return torch.empty(1 if SAMPLERS[name].order > 9 else count, *FOUR_PIXELS.shape).double()


def informed(denoise: Denoise, mixture: Mixture, step: partial[Tensor]) -> Denoise:
    """The denoiser, with the exact variance of its clean image for steps that ask for it."""
    return certain(denoise, mixture) if step.keywords.get("variance") == "optimal" else denoise


def sample(
    mixture: Mixture,
    schedule: Schedule,
    levels: Tensor,
    rng: Draws,
    step: partial[Tensor],
    like: Tensor,
    target: str = "eps",
) -> Tensor:
    """The last state of a walk from the prior."""
    denoise = informed(by_sigma(mixture, schedule, target, torch.tanh), mixture, step)
    x = start(denoise, levels, like, rng)
    *_, last = walk(denoise, x, levels, rng, predictor=step)
    return last.x
