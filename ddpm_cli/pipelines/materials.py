"""What a training run is made of, and all that the loop asks for made from it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from ddpm_cli import console, hardware
from ddpm_cli.data.image_set import Data
from ddpm_cli.diffusion.adversary import Critic
from ddpm_cli.diffusion.classifier import Trained
from ddpm_cli.diffusion.draws import uniform
from ddpm_cli.diffusion.rng import Randomness, Rng
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, datasets, kinds, memory, walks
from ddpm_cli.models.teacher import teacher
from ddpm_cli.networks.parts import graphs
from ddpm_cli.pipelines import adversaries
from ddpm_cli.settings.checks import JUDGES, purpose, refuse_half, unsuited
from ddpm_cli.settings.config import Config
from ddpm_cli.training import conditions, distributed, held_out, sharding
from ddpm_cli.training.averages import Averages, Spacing
from ddpm_cli.training.batches import scaled
from ddpm_cli.training.distributed import Group
from ddpm_cli.training.init import init
from ddpm_cli.training.loop import Setting
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.optimizers import optimizer
from ddpm_cli.training.players import CRITIC, MODEL, Player, frozen
from ddpm_cli.training.state import Draw, Remembering, State
from ddpm_cli.training.uncertainty import Uncertain

POINTS = 1024  # arrays in a sample plot
HELD_OUT = 1024  # images of the test split that the held-out loss is measured on


class Sets(NamedTuple):
    """The data to train on, and those of the same kind that are held out."""

    train: Data
    test: Data

    @classmethod
    def of(cls, config: Config) -> "Sets":
        """Both splits of the data set that a configuration names."""
        return cls(datasets.images(config, "train"), datasets.images(config, "test"))


class Materials(NamedTuple):
    """The settings of a run, where this process of it computes, and its data.

    beside: who its loss may ask for, as a teacher.
    """

    config: Config
    compute: Compute
    place: Group
    sets: Sets
    info: DataInfo
    beside: Mapping[str, Any] = MappingProxyType({})

    @classmethod
    def of(cls, config: Config, compute: Compute, place: Group, sets: Sets) -> "Materials":
        """All of it, with what a checkpoint keeps of the data."""
        beside: dict[str, Any] = {}
        if "teacher" in config:
            known = beside["teacher"] = teacher(config, compute, **config["teacher"])
            config = config | {"teacher": config["teacher"] | {"digest": known.digest}}
        return cls(config, compute, place, sets, datasets.data_info(sets.train), beside)


def local_compute(config: Config, place: Group) -> Compute:
    """The device of this process and its number format."""
    refuse_half(config)
    chosen = hardware.compute(**config["compute"])
    return chosen._replace(device=distributed.local_device(chosen.device, place))


def fresh_state(materials: Materials, *, begins: bool = True) -> State:
    """A model on its device with a fresh optimizer.

    begins: whether it is trained from here; what it starts from need not be there later.
    """
    config, compute = materials.config, materials.compute
    torch.manual_seed(config["train"]["seed"])
    model = build.trained(config, build.network(config, materials.info))
    if begins:
        init(model, **_beginning(config))
    average = _placed(model, materials)
    follows = optimizer(config["train"]["optimizer"], model, compute.dtype)
    draw: Draw = build.draw(config)
    if config["train"]["uncertainty"]:
        draw = Uncertain(draw, compute.device, compute.state_dtype)
    train, averages, spacing = config["train"], None, None
    if train["averages"]:
        averages = Averages(model, train["averages"])
        spacing = Spacing(train["steps"], train["snapshots"])
    players = {MODEL: Player(model, follows, average, averages)}
    if "critic" in config:
        players[CRITIC] = adversaries.player(config, materials.info, compute, model)
    return State(players, draw, spacing)


def _beginning(config: Config) -> dict[str, Any]:
    """What a run starts from: a student from its teacher, unless it is told otherwise."""
    settings: dict[str, Any] = config["init"]
    if "teacher" in config and not settings["model"]:
        return settings | {"model": config["teacher"]["model"]}
    return settings


def _placed(model: Trained, materials: Materials) -> Trained:
    """Move a model to its device, or shared out to those of all processes; its average there."""
    compute, ranks = materials.compute, materials.place.ranks
    shared = materials.config["train"]["shard"] and ranks > 1
    if not shared:
        compute.place(model.network)
    if isinstance(model.schedule, nn.Module):
        model.schedule.to(compute.device)
    average = frozen(model)
    if shared:  # from the CPU, as the whole of it may fit nowhere else
        sharding.share_out([model.network, average.network], ranks, compute)
    return average


def rehearse(materials: Materials, state: State) -> None:
    """Compute the loss of one image, so that parts that do not fit are refused before any work."""
    config, compute = materials.config, materials.compute
    if config["network"].get("learned_variance") and config["loss"]["name"] == "simple":
        console.warn("network.learned_variance: loss simple trains no variance; use hybrid")
    if purpose(config) not in JUDGES:
        if warning := unsuited(config):
            console.warn(warning)
        walks.prepared(config, state.model.schedule)  # previews walk along these levels
    rows, told = materials.sets.train[torch.zeros(1, dtype=torch.long)]
    told = conditions.taken(told, kinds.nulls(config, materials.info))
    table = "loss"
    try:
        objectives = _objectives(materials, state, state.average)
        table = "draw"
        t, _ = state.draw(state.model.schedule, 1, Rng([0]))
        table = "loss"
        with torch.no_grad(), compute.autocast(), memory.watched(are_kept=True) as seen:
            x0 = scaled(rows.to(compute.device))
            told = conditions.on(compute.device, conditions.seen(told))
            for objective in objectives.values():
                objective(x0, t, Rng([0]), told)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{table}.{config[table]['name']}: {error}") from None
    _refuse_large(materials, max(seen))


def _refuse_large(materials: Materials, each: int) -> None:
    """Refuse a batch whose gradients do not fit; each: the bytes that an image leaves for them."""
    settings, place = materials.config["train"], materials.place
    if settings["batch"] * each >= memory.LARGE:
        parts = settings["accumulate"] * place.ranks
        rows = -(-settings["batch"] // parts)
        key = "--batch" if parts == 1 else "train.batch, of which each part has"
        memory.refuse(key, rows, each, materials.compute.device)


def loop_setting(materials: Materials, state: State) -> Setting:
    """What the loop trains with: the objective around the state's network, data and devices."""
    config, compute, place, sets, info, _ = materials
    nulls, made = kinds.nulls(config, info), kinds.recipes(config, info)
    # Neither gathering nor computing twice can be recorded.
    if state.is_shared or config["train"]["recompute"]:
        compute.run(state.model.network)
    else:
        graphs.called(state.model.network, compute)
    objectives = _objectives(materials, state, state.model)
    averaged = _measured(materials, state)
    turns = [CRITIC, MODEL] if CRITIC in objectives else [MODEL]
    # A draw that learns would measure something else at every step.
    draw: Draw = build.draw(config)
    draw = uniform if isinstance(draw, Remembering) else draw
    rows, told = sets.test[torch.arange(min(HELD_OUT, len(sets.test)))]
    told, randomness = conditions.taken(told, nulls), Randomness(compute.rng)

    def measure() -> dict[str, float]:
        if averaged is None:
            return {}
        with compute.autocast():
            return held_out.measured(averaged, draw, rows, told, compute.device, randomness)

    return Setting(
        objectives={
            name: distributed.parallel(objective, place, compute.device)
            for name, objective in objectives.items()
        },
        schedule=state.model.schedule,
        images=sets.train,
        nulls=conditions.on(compute.device, nulls),
        drops={kind: recipe.drop for kind, recipe in made.items()},
        drop_each={kind: recipe.drop_each for kind, recipe in made.items()},
        device=compute.device,
        autocast=compute.autocast,
        measure=measure,
        share=place.share,
        turns=lambda step: turns,
        randomness=randomness,
    )


def _objectives(materials: Materials, state: State, model: Trained) -> dict[str, Objective]:
    """The loss of each player by its name, of the run's model as `model`."""
    config, info = materials.config, materials.info
    made = build.task(config, info), build.augmentation(config, info)
    others = {name: player.module for name, player in state.players.items() if name != MODEL}
    beside = {**materials.beside, **others}
    every = {MODEL: Objective(model, build.loss(config), *made, beside)}
    if CRITIC in others:
        judge = adversaries.loss(config)
        every[CRITIC] = Objective(cast(Critic, others[CRITIC]), judge, *made, {"generator": model})
    return every


def _measured(materials: Materials, state: State) -> Objective | None:
    """What is measured on held-out images; of a game of two nothing would tell how it goes."""
    config, info = materials.config, materials.info
    if CRITIC in state.players:
        return None
    loss, task = build.measured_loss(config), build.task(config, info)
    return Objective(state.average, loss, task, beside=materials.beside)
