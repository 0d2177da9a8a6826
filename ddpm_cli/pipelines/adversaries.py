"""The critic of a denoising diffusion GAN: how it is trained, and what does not go with it."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.adversary import judged
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, kinds
from ddpm_cli.settings import checks
from ddpm_cli.settings.checks import is_generator
from ddpm_cli.settings.config import Config
from ddpm_cli.training.optimizers import adamw
from ddpm_cli.training.players import Player

FEWEST, MOST = 2, 8  # steps that were published (Xiao 2022, table 2)
NOISE = 10.0  # the least highest level: there a hundredth of the variance is the image's
DRAWS = ("uniform", "low-discrepancy")  # of times, all of which weigh alike
UNSEEN = ("task", "values", "text", "vector", "augment")  # tables of what a critic is not told
VP = "--set 'schedule={name=\"vp\", steps=4}'"  # the schedule that was published


def player(config: Config, info: DataInfo, compute: Compute, model: Trained) -> Player:
    """A critic with fresh weights on the device of the run, and what trains it."""
    critic = build.critic(config, info, model.schedule)
    compute.place(critic.network)
    follows = adamw(list(critic.network.parameters()))
    return Player(critic, follows, pace=config["train"]["critic_lr"])


def size(config: Config, info: DataInfo) -> int:
    """How many parameters the critic of a configuration has; 0 without one."""
    if "critic" not in config:
        return 0
    schedule = build.schedule(config)
    with torch.device("meta"):
        critic = build.critic(config, info, schedule)
    return sum(parameter.numel() for parameter in critic.network.parameters())


def loss(config: Config) -> Callable[..., Tensor]:
    """The loss of the critic of a configuration."""
    return partial(judged, **{knob: config["loss"][knob] for knob in ("r1", "every", "steps")})


def refuse_unplayable(config: Config) -> None:
    """Refuse a generator without a critic and the other way round, and what suits no game."""
    if not is_generator(config):
        _refuse_idle(config)
        return
    problems = [*_missing(config), *_strange(config)]
    if problems:
        raise ConfigError(*problems)
    schedule = build.schedule(config)
    _refuse_steps(config, schedule)


def _refuse_idle(config: Config) -> None:
    """Refuse parts of a game that nobody plays."""
    fix = "--set loss.name=adversarial"
    if "critic" in config:
        raise ConfigError(f"critic: of loss adversarial alone; {fix}, or critic.name=none")
    if kinds.latents(config):
        raise ConfigError(f"latent: drawn by generators alone; {fix}, or latent.size=0")
    if config["train"]["critic_lr"] != 1:
        raise ConfigError(f"train.critic_lr: there is no critic; {fix}, or leave it out")


def _missing(config: Config) -> Iterator[str]:
    """What a generator lacks."""
    if "critic" not in config:
        kind = "residual, or critic.name=mlp of data that are no images"
        yield f"critic: loss adversarial needs one; --set critic.name={kind}"
    table = config["schedule"]
    if table["name"] == "learned":
        yield f"schedule.learned: of likelihoods alone; {VP}"
    elif not checks.large_steps(config):
        what = f"{table['name']} is continuous, and a generator makes a few large steps"
        yield f"schedule.{table['name']}: {what}; --set loss.steps=4, or {VP}"


def _strange(config: Config) -> Iterator[str]:
    """What does not go with a critic."""
    if (draw := config["draw"]["name"]) not in DRAWS:
        what = f"{draw} weighs times, and both players must see them alike"
        yield f"draw.name: {what}; --set draw.name={DRAWS[-1]}"
    for table in UNSEEN:
        if table in config:
            yield f"{table}: critics are told of classes alone; leave it out"
    if config["network"].get("learned_variance"):
        fix = "--set network.learned_variance=false"
        yield f"network.learned_variance: a generator's step has the posterior's variance; {fix}"
    if config["train"]["shard"]:
        what = "gradients of gradients do not go through weights that are shared out"
        yield f"train.shard: {what}; --set train.shard=false"


def _refuse_steps(config: Config, schedule: Schedule) -> None:
    """Refuse a process that does not end in noise, where the walk of a generator begins."""
    top = float(schedule.sigma(torch.ones((), dtype=torch.float64)))
    if top < NOISE:
        name = config["schedule"]["name"]
        what = f"its last level is {top:.2g} times as large as the data, which is no noise"
        raise ConfigError(f"schedule.{name}: {what}; {VP}")


def warn_of_game(config: Config) -> None:
    """Warn of a generator that draws nothing, and of more steps than it is meant for."""
    if not is_generator(config):
        return
    if not kinds.latents(config):
        what = "without it each step of a generator has one answer, so reaches one mode alone"
        console.warn(f"latent: {what}; --set latent.size=100")
    steps = checks.large_steps(config)
    if not FEWEST <= steps <= MOST:
        what = f"{steps} steps; denoising diffusion GANs were published with {FEWEST} to {MOST}"
        console.warn(f"schedule.steps: {what}")
