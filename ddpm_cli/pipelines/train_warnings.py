"""What a run is warned of before it begins: settings that cost more than they give, odd data."""

import math
import shlex
from pathlib import Path

import torch

from ddpm_cli import console, hardware
from ddpm_cli.data.image_set import Data, ImageSet
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import BYTES
from ddpm_cli.models import flops
from ddpm_cli.settings.config import Config
from ddpm_cli.training.batches import scaled
from ddpm_cli.training.curves import rate
from ddpm_cli.training.distributed import Group

SAMPLE = 64  # images whose values are looked at
LITTLE = 0.5  # of a learning rate that is never reached
MANY = 10_000  # network calls for a sheet that are felt
JUMP = 0.1  # of a learning rate: what is more is told


def warn_of_warmup(config: Config) -> None:
    """Warn of a run that ends before its learning rate is reached, or soon after."""
    steps, warmup = config["train"]["steps"], config["train"]["warmup"]
    rising = min(steps, warmup)
    some = range(0, rising, max(1, rising // 1000))
    peak = max((_share(config, step) for step in some), default=1.0)
    if warmup >= steps or peak < LITTLE:
        what = f"train.warmup: {warmup} steps of {steps} in all, so that the learning rate"
        fix = f"--set train.warmup={steps // 10} is shorter"
        console.warn(f"{what} gets to {peak:.0%} of train.lr; {fix}")


def _share(config: Config, step: int) -> float:
    """Share of its learning rate that a run has at a step."""
    train = config["train"]
    how = {key: train[key] for key in ("decay", "flat", "cooldown")}
    return rate(step, train["steps"], train["warmup"], **how)


def warn_of_length(folder: Path, before: Config, config: Config, step: int) -> None:
    """Warn of a learning rate that jumps, as a run goes on to another end than it stood under.

    before: its settings of then; step: how many were made. What was finished is compared by its
    last step.
    """
    steps, planned = (each["train"]["steps"] for each in (config, before))
    if steps == planned or step >= steps:
        return
    lr, decay = config["train"]["lr"], config["train"]["decay"]
    was, now = lr * _share(before, min(step, planned - 1)), lr * _share(config, step)
    if abs(now - was) <= JUMP * was:
        return
    rates = f"the learning rate goes from {_short(was)} to {_short(now)}"
    why = f"as {decay} is laid over the new length; {_end(config)}"
    console.warn(f"{folder}: train.steps {planned} -> {steps}: {rates}, {why}")
    fix = "train.decay=wsd from the start needs no known end, rsqrt none at all"
    if decay == "wsd":
        fix = "a wsd run grows without a jump until it falls, and this one did"
    if config["data"]["name"] != "python":
        place, other = (shlex.quote(str(path)) for path in (folder, f"{folder}-longer"))
        fix += (
            f"; to go on from its weights at a rate of your own: ddpm train --config {place}/"
            f"config.toml --init {place} -o {other} --steps {steps - step} --lr {_short(now / 10)}"
        )
    console.say(fix)


def _end(config: Config) -> str:
    """How a schedule of learning rates that falls ends."""
    train = config["train"]
    if train["decay"] != "wsd":
        return f"it falls to 0 at step {train['steps']}"
    falling = max(round(train["cooldown"] * train["steps"]), 1)
    return f"it falls from step {train['steps'] - falling} on, to 0 at step {train['steps']}"


def _short(lr: float) -> str:
    """A learning rate of two digits, as it is typed."""
    return f"{lr:.1e}".replace(".0e", "e")


def warn_of_sheets(config: Config, calls: int) -> None:
    """Warn of sheets of images at so many network calls that take longer than the training."""
    train = config["train"]
    drawn = train["sheet_count"] * calls
    sheets = math.ceil(train["steps"] / train["sheet_every"])
    steps = drawn * sheets / (flops.PASSES * train["batch"])
    if drawn < MANY or steps < train["steps"] / 2:
        return
    often = f"{sheets} sheets" if sheets > 1 else "a sheet"
    what = f"{often} of {train['sheet_count']} images at {calls} network calls each"
    fix = "--set train.sheet_count=16 draws fewer, 0 none"
    console.warn(f"train.sheet_count: {what} take as long as {steps:.0f} steps; {fix}")


def warn_of(data: Data) -> None:
    """Name what is lost of the data, or surprising in them, before they are trained on."""
    for note in (*data.notes, *_few(data)):
        console.warn(note)


def _few(data: Data) -> list[str]:
    """A word on images, of other sets than those of files, that use little of their range."""
    if data.mean is not None or not isinstance(data, ImageSet) or data.is_of_files:
        return []
    rows, _ = data[torch.linspace(0, len(data) - 1, min(SAMPLE, len(data))).long()]
    colours = scaled(rows[:, :3])
    low, high = BYTES.pixels(torch.stack([colours.min(), colours.max()])).tolist()
    if not scales.is_few(low, high, BYTES):
        return []
    return [f"the data use {low} to {high} of 0 to 255, under a quarter; scale them up first"]


def warn_of_workers(config: Config, place: Group) -> None:
    """Warn of more processes that read than the cores that this process may use."""
    cores = hardware.cores()
    workers = config["train"]["workers"] * place.local_ranks
    if workers > cores:
        what = f"train.workers: {workers} processes read on {cores} cores"
        console.warn(f"{what}, which is slower than {cores} or fewer")
