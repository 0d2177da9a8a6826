"""The training loop: every step in one function, its settings the keys of `[train]`."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import torch

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.settings.knobs import Count, Fraction, Index, NonNegative, Positive
from ddpm_cli.training.batches import Images, Share, batches, image_rng, prepare
from ddpm_cli.training.conditions import on
from ddpm_cli.training.distributed import whole
from ddpm_cli.training.held_out import described
from ddpm_cli.training.state import Remembering, State


class NotFinite(ArithmeticError):
    """The loss, the gradient or the weights became NaN or infinite."""


class Setting(NamedTuple):
    """What a run trains with and on; `objective` is the module whose forward is the loss.

    nulls: what stands for each condition that the network takes, on the device.
    measure: numbers of the averaged weights on held-out images; autocast: the context of forward
    passes.
    """

    objective: torch.nn.Module
    schedule: Schedule
    images: Images
    nulls: Conditions
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    measure: Callable[[], dict[str, float]]
    share: Share = Share()


class Journal(Protocol):
    """Where a run leaves its traces, and where it hears that it must stop."""

    def log(self, values: dict[str, float]) -> None:
        """Keep one line of metrics."""

    def save(self, state: State) -> None:
        """Write a checkpoint to resume from."""

    def sheet(self, state: State) -> None:
        """Draw samples of the averaged weights."""

    def advance(self, note: str) -> None:
        """Count a step."""

    def stopping(self) -> bool:
        """Whether the run was asked to save and stop."""


def train(
    setting: Setting,
    state: State,
    journal: Journal,
    *,
    steps: Count = 5000,
    batch: Count = 128,
    lr: Positive = 1e-3,
    warmup: Index = 200,
    decay: Literal["constant", "linear", "cosine"] = "cosine",
    beta2: Fraction = 0.99,
    weight_decay: NonNegative = 0.01,
    clip: NonNegative = 1.0,
    ema: Fraction = 0.999,
    drop_class: Fraction = 0.1,
    flip: bool = False,
    crop: Index = 0,
    seed: Index = 0,
    workers: Index = 0,
    minutes: NonNegative = 0.0,
    log_every: Count = 50,
    measure_every: Count = 500,
    save_every: Count = 500,
    sheet_every: Count = 1000,
) -> None:
    """Minimize the loss with AdamW for `steps` steps, from wherever the state stands.

    Learning rate and moving average depend on the step alone; `minutes` (0: no limit) only
    ends this call of the command. beta1 is 0.9 (Loshchilov 2019). flip: half of the images are
    mirrored; crop: an image gets so many pixels more at each edge, which repeat it, and a random
    part of the old size is left; drop_class: how often a label is left out.
    """
    began = logged = time.monotonic()
    trained, share = list(state.model.parameters()), setting.share
    source = batches(
        setting.images,
        seed=seed,
        steps=range(state.step, steps),
        batch=batch,
        share=share,
        workers=workers,
        pin=setting.device.type == "cuda",
    )
    note, accuracy, counted = "", "", state.step
    for rows, conditions in source:
        step = state.step
        for group in state.optimizer.param_groups:
            group["lr"] = lr * rate(step, steps, warmup, decay)
            group["betas"], group["weight_decay"] = (0.9, beta2), weight_decay
        torch.manual_seed(keyed(seed, "dropout", step, share.rank))
        rng = image_rng(seed, step, batch, share)
        x0, conditions = prepare(
            rows.to(setting.device, non_blocking=True),
            on(setting.device, conditions),
            rng,
            setting.nulls,
            flip=flip,
            crop=crop,
            drop={"classes": drop_class},
        )
        times, weights = state.draw(setting.schedule, batch, Rng([keyed(seed, "time", step)]))
        t, weight = times[share.of(batch)], weights[share.of(batch)]
        with setting.autocast():
            losses = setting.objective(x0, t, rng, conditions)
        (losses * weight.to(losses)).mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, clip or math.inf)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.update_average(average_decay(step, ema))
        if isinstance(state.draw, Remembering):
            state.draw.update(times, whole(losses.detach(), share.ranks))
        state.window.add(t, losses, norm)
        state.step = step = step + 1

        last, stop = step == steps, journal.stopping()
        stop = stop or bool(minutes and time.monotonic() - began >= 60 * minutes)
        logging = step % log_every == 0 or last
        saving = step % save_every == 0 or last or stop
        if logging or saving:
            state.window.gather(share.ranks)
            if not state.window.finite() or (saving and not state.finite()):
                raise NotFinite(f"step {step}: non-finite loss, gradient or weights")
        if logging:
            values: dict[str, float] = {
                "step": step,
                "lr": lr * rate(step - 1, steps, warmup, decay),
            }
            values |= state.window.summary()
            elapsed = time.monotonic() - logged
            values["images_per_second"] = (step - counted) * batch / elapsed
            if step % measure_every < log_every or last:
                values |= setting.measure()
            if not all(map(math.isfinite, values.values())):
                raise NotFinite(f"step {step}: non-finite held-out loss")
            state.window.clear()
            journal.log(values)
            accuracy = described(values) or accuracy
            note = f"loss {values['loss']:.4f}{accuracy}"
            logged, counted = time.monotonic(), step
        journal.advance(note)
        if saving:
            journal.save(state)
            state.window.keep(share.rank)
        if step % sheet_every == 0 or last:
            journal.sheet(state)
        if stop:
            break


def rate(step: int, steps: int, warmup: int, decay: str) -> float:
    """Share of the learning rate at a step: linear warm-up, then constant or falling to 0."""
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    progress = step / steps
    if decay == "cosine":
        return rising * 0.5 * (1 + math.cos(math.pi * progress))
    return rising * (1 - progress if decay == "linear" else 1.0)


def average_decay(step: int, ema: float) -> float:
    """Decay of the moving average with warm-up, min(ema, (1 + step) / (10 + step)).

    Early averages then cover about a tenth of the steps, so that they never lag at the start
    (the rule of TensorFlow's and Score SDE's averages).
    """
    return min(ema, (1 + step) / (10 + step))
