"""What a training run will be: `ddpm train --dry-run`, and the plan that a budget made before."""

import contextlib
import time
from pathlib import Path

import torch

from ddpm_cli import console
from ddpm_cli.data.image_set import describe
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.header import Header, read_header
from ddpm_cli.files.checkpoints.run import STATES, changes
from ddpm_cli.files.outputs import event_logs
from ddpm_cli.models import build, datasets
from ddpm_cli.pipelines import adversaries, budget, distill, forecast, opening, train_eval
from ddpm_cli.pipelines.materials import Materials, Sets, fresh_state, local_compute, rehearse
from ddpm_cli.pipelines.train_checks import refuse_idle, refuse_untrainable
from ddpm_cli.pipelines.train_classes import followed, warn_of_classes
from ddpm_cli.pipelines.train_warnings import warn_of, warn_of_length, warn_of_warmup
from ddpm_cli.settings import budgets, following
from ddpm_cli.settings.config import Config, resolve
from ddpm_cli.settings.requests import Train
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group


def plan(request: Train) -> None:
    """Print the configuration on stdout and the cost of the model on stderr."""
    began, config = time.monotonic(), request.config
    event_logs.refuse_missing(config["train"]["logs"])
    header = None if request.force else _saved(request.folder)
    before = None if request.force else unsaved(request.folder, config)
    config = taken_over(config, before) if before else config
    try:
        data = datasets.images(config, "train")
    except (Refusal, ConfigError) as missing:
        opening.shown(config)
        what, *fixes = missing.message.splitlines()
        console.warn(f"{what}: no plan without the data")
        for fix in fixes:
            console.say(fix)
        return
    info, config = datasets.data_info(data), followed(config, data)
    if "teacher" in config:
        distill.refuse_unhalved(config)
    refuse_untrainable(config, info, distributed.group())
    refuse_idle(config, info)
    if config["train"]["eval_every"]:  # refused before anything is shown
        train_eval.planned(_alone(config, Sets(data, datasets.images(config, "test"))))
    if before is None and budgets.budget(config):
        config = _rehearsed(config, Sets(data, datasets.images(config, "test")), began)
    with torch.device("meta"):  # what cannot be made is refused before anything is shown
        network = build.network(config, info)
    critic = adversaries.size(config, info)
    calls = forecast.calls(config, build.schedule(config))
    opening.shown(config)
    warn_of_classes(config, info)
    warn_of_warmup(config)
    if header is not None:
        warn_of_length(request.folder, header.config, config, header.step)
    adversaries.warn_of_game(config)
    count = sum(p.numel() for p in network.parameters())
    settings, noun = config["train"], "images" if info.is_image else "rows"
    console.say(
        f"{count / 1e6:.2f} M parameters, {settings['steps']} steps of {settings['batch']} {noun}"
    )
    if critic:
        console.say(f"critic: {critic / 1e6:.2f} M parameters, trained beside it")
    if "teacher" in config:
        console.say(distill.told(config))
    console.say(f"data: {describe(data)}")
    warn_of(data)
    lengths = len(settings["averages"])
    each = 4 * count / 1e6
    console.say(f"weights, average and optimizer take {(4 + lengths) * each:.0f} MB")
    if lengths:
        kept = min(settings["snapshots"], settings["steps"])
        what = f"{kept} snapshots of {lengths} averages for ddpm convert --ema"
        console.say(f"{what} take {kept * lengths * each:.0f} MB on disk")
    train_eval.say(config, calls)


def _saved(folder: Path) -> Header | None:
    """The header of the state that a run would go on from, if one can be read."""
    for name in STATES:
        with contextlib.suppress(Refusal, OSError):
            header = read_header(folder / name)
            if header.kind == "state":
                return header
    return None


def _alone(config: Config, sets: Sets) -> Materials:
    """What a run is made of in this process alone."""
    alone = Group(0, 1, 0)
    return Materials.of(config, local_compute(config, alone), alone, sets)


def _rehearsed(config: Config, sets: Sets, began: float) -> Config:
    """The configuration that a budget would plan here, in this process alone."""
    materials = _alone(config, sets)
    state = fresh_state(materials)
    rehearse(materials, state)
    return budget.planned(materials, state, began, train_eval.prepared(materials)) or config


def unsaved(folder: Path, config: Config) -> Config | None:
    """The configuration of a run that was planned for the same budget, and not saved yet."""
    own = opening.own_settings(folder) if budgets.budget(config) else None
    if own is None:
        return None
    before = resolve([own])
    is_same = budgets.is_same(config, before)
    return before if is_same and not changes(before, taken_over(config, before)) else None


def taken_over(config: Config, before: Config) -> Config:
    """A configuration with what the run that it goes on with has settled."""
    return following.as_before(budgets.taken_over(config, before), before)
