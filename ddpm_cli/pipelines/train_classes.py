"""How many classes a run learns: those of its data, unless it is told, and what to say of that."""

from typing import cast

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.image_set import Data
from ddpm_cli.files.checkpoints import find
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.settings import catalog, checks, following
from ddpm_cli.settings.config import Config

CLASSES = 1000  # more are hardly meant


def followed(config: Config, data: Data, *, leads: bool = True) -> Config:
    """The configuration with as many classes as the data have, unless it says how many.

    A run that starts from a model has those of the model, as its weights are. leads: this is the
    process that says so, and warns of what are hardly classes.
    """
    model = config["init"]["model"]
    if model and following.is_open(config):
        config = following.as_before(config, read_header(find.find(model).path).config)
        if leads and data.classes:
            console.say(f"network.classes: {checks.classes(config)}, as init.model {model} has")
    settled = following.settled(config, len(data.classes or ()))
    count = checks.classes(settled)
    if not (leads and count and following.is_open(config)):
        return settled
    without = "--set network.classes=0 trains without"
    console.say(f"{count} classes from {data.origin}; {without}")
    alone = int((torch.bincount(cast(Tensor, data.labels), minlength=count) == 1).sum())
    if count > CLASSES:
        console.warn(f"data: {count} classes are more than {CLASSES}; {without}")
    if alone:
        have = "each have one row" if alone == count else "of them have one row"
        console.warn(f"data: {count} classes, {alone} {have} alone to learn from; {without}")
    return settled


def warn_of_classes(config: Config, info: DataInfo) -> None:
    """Say that classes of the user's own data are not told to the network, and what tells them."""
    data = catalog.find("data", config["data"]["name"]).knobs
    network = catalog.find("network", config["network"]["name"]).knobs
    count = len(info.classes or ())
    if count < 2 or checks.classes(config) or not {"label", "labels"} & data.keys():
        return
    fix = f"--set network.classes={count}"
    if "classes" not in network:
        fix = "a network that takes them, as --set network.name=unet, and " + fix
    quiet = "; --set data.labels=none leaves them out" if "skip_corrupt" in data else ""
    console.warn(f"data: {count} classes, of which the network is told nothing; add {fix}{quiet}")
