"""From a configuration to the objects it names: schedule, network, denoiser, objective."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from ddpm_cli.data.augmentation import Augmentation
from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.tasks import Task, pairs, upscale
from ddpm_cli.diffusion.adversary import Critic
from ddpm_cli.diffusion.classifier import Classifier, Trained
from ddpm_cli.diffusion.denoiser import Denoiser, Label, Parameterization
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.units import USUAL, Units
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.models import kinds, making
from ddpm_cli.networks.parts import energies, inputs
from ddpm_cli.settings import catalog, checks
from ddpm_cli.settings.checks import JUDGES, purpose
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.inlining import inlined


def unsaid(config: Config, info: DataInfo, count: int = 1) -> Conditions:
    """What a network sees of rows that are told nothing but a class, of every kind that it takes.

    For what is about its cost, which is that of being told.
    """
    rows = {
        kind: null.expand(count, *null.shape) for kind, null in kinds.nulls(config, info).items()
    }
    if "classes" in rows:
        rows["classes"] = torch.zeros(count, dtype=torch.int64)
    if (condition := task(config, info)) is not None:
        rows["image"] = torch.zeros(count, condition.channels, *info.shape[1:])
    return rows


def schedule(config: Config) -> Schedule:
    """The noise schedule of a configuration."""
    return units(config).schedule(_own_schedule(config))


def _own_schedule(config: Config) -> Schedule:
    """The schedule in the units of the network's data."""
    process: Schedule = making.made("schedule", inlined(config)["schedule"])
    return process


def units(config: Config) -> Units:
    """Where the data lie that the network of a configuration sees."""
    settings = config.get("units")
    if settings is None:
        return USUAL
    try:
        chosen = catalog.load(catalog.fixed("units"))(**settings)
    except ValueError as error:
        raise ConfigError(f"units: {error}") from None
    if config["schedule"]["name"] == "learned":
        raise ConfigError("units: not of a learned schedule; leave it out")
    return cast(Units, chosen)


def task(config: Config, info: DataInfo) -> Task | None:
    """What a conditional model is given beside the noisy image, or None."""
    settings = config.get("task")
    component: Task | None = making.made("task", settings, info.shape) if settings else None
    if isinstance(component, upscale | pairs):
        component.scale = info.scale
    if isinstance(component, pairs):
        component.see(info.beside, are_images=info.is_image)
    return component


def augmentation(config: Config, info: DataInfo) -> Augmentation | None:
    """How the images of a run are changed in training, or None; networks are told of it."""
    if "augment" not in config:
        return None
    if len(info.shape) != 3:
        raise ConfigError("augment: it changes images, and these are arrays; leave it out")
    recipe = cast(Any, kinds.recipe("augment", config))
    return Augmentation(recipe.chances)


def network(config: Config, info: DataInfo) -> nn.Module:
    """A network with fresh weights, on the current default device."""
    condition = task(config, info)
    extra = condition.channels if condition else 0
    features, slope = fourier(config, info), energy(config)
    if features is None:
        made = _network(config, info, extra)
    else:
        extra += features.channels(info.shape[0])
        made = features.beside(_network(config, info, extra))
    return slope.around(made, info.shape[0]) if slope else made


def energy(config: Config) -> energies.energy | None:
    """What makes a network answer with the slope of a number, or None."""
    settings, name = config.get("energy"), config["network"]["name"]
    if settings is None:
        return None
    if purpose(config) in JUDGES:
        raise ConfigError(f"energy: of networks that draw, and {name} judges; leave it out")
    made: energies.energy = catalog.load(catalog.fixed("energy"))(**settings)
    return made


def fourier(config: Config, info: DataInfo) -> inputs.fourier | None:
    """What a network sees of its own input beside the values, or None of nothing."""
    settings, name = config.get("fourier"), config["network"]["name"]
    if settings is None:
        return None
    if purpose(config) in JUDGES:
        raise ConfigError(f"fourier: of networks that draw, and {name} judges; leave it out")
    if len(info.shape) < 2:
        more = "; mlp has network.frequencies" if name == "mlp" else ""
        raise ConfigError(f"fourier: of images and signals, and these are rows{more}")
    try:
        features: inputs.fourier = catalog.load(catalog.fixed("fourier"))(**settings)
    except ValueError as error:
        raise ConfigError(f"fourier: {error}") from None
    return features


def _network(config: Config, info: DataInfo, extra: int) -> nn.Module:
    """A network of so many channels more than those of the data."""
    made = kinds.recipes(config, info)
    if not made:
        plain: nn.Module = making.made("network", config["network"], info.shape, extra)
        return plain
    name = config["network"]["name"]
    if "told" not in inspect.signature(catalog.load(catalog.find("network", name))).parameters:
        fix = "take another, as --set network.name=unet"
        raise ConfigError(f"network.{name}: told of no {' and '.join(made)}; {fix}")
    network: nn.Module = making.made("network", config["network"], info.shape, extra, made)
    return network


def denoiser(config: Config, network: nn.Module) -> Denoiser:
    """The denoiser of a configuration around a network."""
    learned = bool(config["network"].get("learned_variance"))
    own, drawn = units(config), kinds.latents(config)
    process = _process(config)
    return Denoiser(network, *process, learned_range=learned, units=own, latents=drawn)


def trained(config: Config, network: nn.Module) -> Trained:
    """What a configuration trains around a network: a denoiser, or what judges noisy images."""
    if purpose(config) in JUDGES:
        return Classifier(network, *_process(config), units(config))
    return denoiser(config, network)


def critic(config: Config, info: DataInfo, schedule: Schedule) -> Critic:
    """What judges the states that a generator leads to, with fresh weights."""
    classes = checks.classes(config)
    network: nn.Module = making.made("critic", config["critic"], info.shape, classes)
    return Critic(network, schedule, units(config).label(label(config)))


def _process(config: Config) -> tuple[Schedule, Parameterization, Label]:
    """The schedule of a configuration, and how a network sees the states of its process."""
    own, settings = units(config), config["parameterization"]
    seen = own.parameterization(making.maker("parameterization", settings))
    return schedule(config), seen, own.label(label(config))


def label(config: Config) -> Label:
    """What a network is told of the noise level."""
    usual = "log-sigma" if config["parameterization"]["name"] == "edm" else "index"
    component: Label = making.maker("label", config.get("label", {"name": usual}))
    return component


def loss(config: Config) -> Callable[..., Tensor]:
    """The training objective of a configuration."""
    function, knobs = making.component("loss", config["loss"])
    return partial(function, **knobs)


def measured_loss(config: Config) -> Callable[..., Tensor]:
    """The objective to compare runs by: with any noise, however it is chosen in training."""
    settings = {knob: value for knob, value in config["loss"].items() if knob != "nearest"}
    return loss({"loss": settings})


def draw(config: Config) -> Callable[..., tuple[Tensor, Tensor]]:
    """The distribution of training times of a configuration; a class is one with a memory."""
    function, knobs = making.component("draw", config["draw"])
    if isinstance(function, type):
        remembering: Callable[..., tuple[Tensor, Tensor]] = function(**knobs)
        return remembering
    return partial(function, **knobs)
