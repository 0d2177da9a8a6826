"""The parts of a walk that a configuration names: levels, steps, constraints and wrappers."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.directed import directed
from ddpm_cli.diffusion.measuring import Measured, Method, Operator
from ddpm_cli.diffusion.renoise import renoise
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.steps import Constraint, Draws, Move, Step, Visited
from ddpm_cli.files.checkpoints import level_fits
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import making
from ddpm_cli.settings import methods, passes
from ddpm_cli.settings.config import Config


def levels(config: Config, process: Schedule, top: Tensor | None = None) -> Tensor:
    """The noise levels that a configuration walks along, its edits applied in their order.

    top: the level to start from instead of the highest of the list.
    """
    sigmas: Tensor = making.made("levels", level_fits.inlined(config)["levels"], process)
    if top is not None:
        sigmas = latents.below(sigmas, top)
    for settings in config["edits"]:
        sigmas = making.made("edits", settings, sigmas)
    return sigmas


def operator(config: Config, info: DataInfo) -> Operator:
    """What took something from the images that a configuration restores."""
    component: Operator = making.made("operator", config["operator"], info.shape)
    return component


def method(config: Config) -> Callable[[Measured], Method] | None:
    """How a configuration makes walks ones to images of which something is known, or None."""
    settings = config.get("method")
    called = f"--method {methods.called(config)}" if settings else ""
    return making.maker("method", settings, called) if settings else None


def predictor(config: Config) -> Step:
    """The step that a configuration samples with."""
    step: Step = making.maker("sampler", config["sampler"])
    is_directed = passes.two_passes(config).get("name") == passes.DIRECTED
    return directed(step) if is_directed else step


def guided(settings: Config) -> dict[str, Any]:
    """What guidance takes of its settings: the guider that they name, and what all have."""
    function, _ = making.component("guidance", settings)
    own = passes.own(settings)
    return {key: settings[key] for key in settings if key not in own} | {
        "guider": partial(function, **own)
    }


def corrector(config: Config) -> Step | None:
    """The step that a configuration makes where a level is repeated, if any."""
    settings = config.get("corrector")
    return making.maker("corrector", settings) if settings else None


def ascend(config: Config) -> Step:
    """The step that a configuration makes to a higher level."""
    return partial(renoise, **config.get("renoise", {}))


def constraint(config: Config) -> Callable[[Tensor, Tensor], Constraint]:
    """What imposes all constraints of a configuration on the states of a walk, in their order.

    It is made for clean images [B, ...] and a mask [B or 1, 1, ...] of the pixels that count.
    """

    def imposed(known: Tensor, mask: Tensor) -> Constraint:
        every: list[Constraint] = [
            making.made("constraints", settings, known, mask) for settings in config["constraints"]
        ]

        def constrain(x: Tensor, move: Move, before: Visited, rng: Draws) -> Tensor:
            for one in every:
                x = one(x, move, before, rng)
            return x

        return constrain

    return imposed


def is_adaptive(config: Config) -> bool:
    """Whether the sampler chooses its calls for each image, by a tolerance."""
    return "rtol" in config["sampler"]


def wrapper(config: Config) -> Callable[[Denoise], Denoise]:
    """What puts the wrappers of a configuration around a denoiser, the first innermost."""

    def wrap(denoise: Denoise) -> Denoise:
        for settings in config["wrappers"]:
            denoise = making.made("wrappers", settings, denoise)
        return denoise

    return wrap
