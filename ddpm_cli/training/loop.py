"""The training loop: every step in one function, its settings the keys of `[train]`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions, Data
from ddpm_cli.diffusion.rng import PHILOX, Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.diffusion.shapes import column
from ddpm_cli.networks.parts import blocks
from ddpm_cli.settings.knobs import (
    AverageLength,
    AverageLengths,
    Batch,
    Budget,
    Count,
    Decay,
    Fraction,
    Index,
    Labels,
    LearningRate,
    NonNegative,
    Ratio,
    Sampled,
    Seed,
    SheetCount,
    Side,
    SnapshotCount,
    Strength,
    Workers,
    Zoom,
)
from ddpm_cli.training.batches import Order, Share, batches
from ddpm_cli.training.curves import average_decay, rate
from ddpm_cli.training.distributed import unsynchronized, whole
from ddpm_cli.training.players import MODEL
from ddpm_cli.training.readers import Readers
from ddpm_cli.training.reporting import Every, Journal, Reporter
from ddpm_cli.training.resident import Resident, kept_on
from ddpm_cli.training.state import Remembering, State


def alone(step: int) -> Sequence[str]:
    """The players of a plain run, which trains the model at every step."""
    return [MODEL]


class Setting(NamedTuple):
    """What a run trains with and on.

    objectives: by the name of a player the module whose forward is its loss; nulls: what stands
    for each condition that the network takes; drops: how often each is left out, but for classes;
    drop_each: how often single entries of each are; measure: numbers of the averaged weights on
    held-out images; autocast: the context of forward passes; turns: who is trained at a step, in
    this order; randomness: how seeds become numbers.
    """

    objectives: Mapping[str, torch.nn.Module]
    schedule: Schedule
    images: Data
    nulls: Conditions
    drops: Mapping[str, float]
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    measure: Callable[[], dict[str, float]]
    share: Share = Share()
    turns: Callable[[int], Sequence[str]] = alone
    randomness: Randomness = PHILOX
    drop_each: Mapping[str, float] = MappingProxyType({})


def train(
    setting: Setting,
    state: State,
    journal: Journal,
    *,
    steps: Count = 5000,
    batch: Batch = 128,
    accumulate: Batch = 1,
    optimizer: Literal["adamw", "muon"] = "adamw",
    lr: LearningRate = 1e-3,
    critic_lr: Ratio = 1.0,
    warmup: Index = 200,
    decay: Literal["constant", "linear", "cosine", "rsqrt", "wsd"] = "cosine",
    flat: Count = 1000,
    cooldown: Fraction = 0.2,
    beta1: Decay = 0.9,
    beta2: Decay = 0.99,
    weight_decay: Strength = 0.01,
    clip: NonNegative = 1.0,
    ema: Fraction = 0.999,
    ema_length: AverageLength = 0.0,
    averages: AverageLengths = (),
    snapshots: SnapshotCount = 16,
    uncertainty: bool = False,
    drop_class: Fraction = 0.1,
    flip: bool = False,
    crop: Side = 0,
    seed: Seed = 0,
    workers: Workers = 0,
    resident: Literal["auto", "on", "off"] = "auto",
    recompute: bool = False,
    shard: bool = False,
    max_shard_size: Index = 0,
    minutes: NonNegative = 0.0,
    budget: Budget | None = None,
    log_every: Count = 50,
    logs: Literal["none", "tensorboard", "wandb"] = "none",
    measure_every: Count = 500,
    save_every: Count = 500,
    sheet_every: Count = 1000,
    sheet_count: SheetCount = 64,
    sheet_columns: SheetCount = 0,
    sheet_zoom: Zoom = 1,
    sheet_labels: Labels = "",
    eval_every: Index = 0,
    eval_count: Sampled = 2048,
    eval_protocol: str | None = "digits",
    eval_features: str = "",
    eval_metric: str = "",
    keep_best: bool = False,
) -> None:
    """Minimize the loss for `steps` steps, from wherever the state stands.

    Learning rate and moving average depend on the step alone; `minutes` (0: no limit) only
    ends this call of the command. budget: what `steps` and `warmup` were planned for, before,
    by pipelines.budget. sheet_count: images on a sheet of samples, 0 for no sheets;
    sheet_columns: in a row, 0 for a square; sheet_zoom: pixels a side for each pixel;
    sheet_labels: what stands below an image, as seed,class,step,sampler. eval_every: steps between
    two measures of samples as `ddpm eval` makes them, 0 for none, of the seeds below eval_count;
    eval_protocol, eval_features, eval_metric: see `settings.evaluations`; keep_best: the weights
    of the best measure stay in best.safetensors. optimizer:
    AdamW (Loshchilov 2019), or Muon for the matrices of blocks and AdamW
    beside it (Jordan 2024), at the same `lr`; it belongs to the players of the state. critic_lr:
    that of the critic of a GAN, always AdamW's, as a multiple of `lr`. decay:
    see `curves.rate`; flat: of rsqrt, the steps before it falls; cooldown: of wsd, the last
    share of the run, in which it falls. ema: decay of the moving average; ema_length: what it
    covers as a share of the run instead, 0 for ema. averages: lengths of further averages, kept in
    the state for `ddpm convert --ema` to make one of any length of, as 0.05,0.10; snapshots: how
    many files of them a run keeps, each as large as the weights for every length, a longer run as
    often (`averages.Spacing` of the state). uncertainty: the levels' weights are
    learned (`uncertainty.Uncertain`, the draw of the state). accumulate: the batch is computed
    in so many parts, one after the other, which takes less memory; images, times, noise and
    dropped labels are those of the whole batch, and so is the gradient, but masks of dropout
    are drawn part by part. flip: half of the images are mirrored; crop: an image gets so many
    pixels more at each edge, which repeat it, and a random part of the old size is left;
    drop_class: how often a label is left out. resident: rows are moved to the device once and
    indexed there; auto: on CUDA, where those in memory take at most a quarter of what is free.
    recompute: activation checkpointing, block by block: less memory, a third more time.
    max_shard_size: megabytes of a file of the model, in pieces with an index; 0 for one file.
    logs: who else gets numbers and sheets, in the folder of the run (extra `logs`).
    shard: several processes keep a share of all weights each (FSDP2), as the state holds them.
    """
    reporter = Reporter(
        state,
        journal,
        setting.measure,
        setting.share,
        steps=steps,
        batch=batch,
        minutes=minutes,
        every=Every(
            log_every, measure_every, save_every, sheet_every if sheet_count else 0, eval_every
        ),
    )
    share, left, randomness = setting.share, range(state.step, steps), setting.randomness
    images = kept_on(setting.device, setting.images, resident)
    if recompute:
        for player in state.players.values():
            blocks.recompute(player.module)
    shares = share.parts(accumulate)
    items: Iterable[Tensor] = Order(len(images), seed, left, batch, shares)
    if isinstance(images, Resident):
        items, workers = images.ahead(items), 0
    with Readers(images, items, workers) as ahead:
        source = batches(
            ahead,
            setting.nulls,
            setting.device,
            seed=seed,
            steps=left,
            batch=batch,
            shares=shares,
            randomness=randomness,
            flip=flip,
            crop=crop,
            drop={"classes": drop_class, **setting.drops},
            drop_each=setting.drop_each,
        )
        for step, parts in reporter.keeping(source):
            now = lr * rate(step, steps, warmup, decay, flat=flat, cooldown=cooldown)
            chance = randomness.rng([seed], "time", step)
            times, weights = state.draw(setting.schedule, batch, chance)
            torch.manual_seed(randomness.key(seed, "dropout", step, share.rank))
            for name in setting.turns(step):
                player, objective, parted = state.players[name], setting.objectives[name], []
                for number, part in enumerate(parts, 1):
                    t, weight = times[part.positions], weights[part.positions]
                    with unsynchronized(objective, number < accumulate):
                        with setting.autocast():
                            loss = objective(part.x0, t, part.rng, part.conditions, step)
                        ((loss * column(weight, loss)).mean() / accumulate).backward()
                    parted.append(loss.detach())
                losses = torch.cat(parted)
                norm = player.step(
                    lr=now, betas=(beta1, beta2), weight_decay=weight_decay, clip=clip
                )
                state.clear_gradients()
                player.update_average(average_decay(step, ema, ema_length))
                player.update_averages(step)
                mine = times[share.of(batch)]
                player.window.add(mine, losses, norm, leads=share.rank == 0)
                if name == MODEL and isinstance(state.draw, Remembering):
                    state.draw.update(times, whole(losses, share.ranks))
            state.step = step + 1
            if not reporter.after_step(now, fault=ahead.fault):
                break
    reporter.finish(ahead.fault)
