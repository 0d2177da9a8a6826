"""The training loop: every step in one function, its settings the keys of `[train]`."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.knobs import Count, Fraction, Index, NonNegative, Positive
from ddpm_cli.training.batches import Images, Share, batches, image_rng, prepare
from ddpm_cli.training.objective import Objective
from ddpm_cli.training.state import State

Draw = Callable[[Schedule, int, Rng], tuple[Tensor, Tensor]]


class NotFinite(ArithmeticError):
    """The loss or the gradient became NaN or infinite."""


class Setting(NamedTuple):
    """What a run trains with and on; `objective` is the module whose forward is the loss.

    measure: held-out loss of the averaged weights; autocast: the context of forward passes.
    """

    objective: torch.nn.Module
    schedule: Schedule
    draw: Draw
    images: Images
    null_class: int
    device: torch.device
    autocast: Callable[[], AbstractContextManager[None]]
    measure: Callable[[State], float]
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
    ends this session of the run. beta1 is 0.9 (Loshchilov 2019).
    """
    began = logged = time.monotonic()
    network, share = state.network, setting.share
    source = batches(
        setting.images, seed=seed, steps=range(state.step, steps), batch=batch, share=share,
        workers=workers,
    )  # fmt: skip
    note = ""
    for pixels, labels in source:
        step = state.step
        for group in state.optimizer.param_groups:
            group["lr"] = lr * rate(step, steps, warmup, decay)
            group["betas"], group["weight_decay"] = (0.9, beta2), weight_decay
        torch.manual_seed(keyed(seed, "dropout", step, share.rank))
        rng = image_rng(seed, step, batch, share)
        x0, classes = prepare(
            pixels, labels, rng, flip=flip, drop_class=drop_class, null=setting.null_class
        )
        t, weight = setting.draw(setting.schedule, batch, Rng([keyed(seed, "time", step)]))
        t, weight = t[share.of(batch)], weight[share.of(batch)]
        with setting.autocast():
            losses = setting.objective(
                x0.to(setting.device, non_blocking=True), t, rng,
                None if classes is None else classes.to(setting.device, non_blocking=True),
            )  # fmt: skip
        (losses * weight.to(losses)).mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), clip or math.inf)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.update_average(average_decay(step, ema))
        state.window.add(t, losses, norm)
        state.step = step = step + 1

        last, stop = step == steps, journal.stopping()
        stop = stop or bool(minutes and time.monotonic() - began >= 60 * minutes)
        if step % log_every == 0 or last or stop or step % save_every == 0:
            if not state.window.finite():
                raise NotFinite(f"step {step}: non-finite loss or gradient")
        if step % log_every == 0 or last:
            now = time.monotonic()
            values = {"step": float(step), "lr": lr * rate(step - 1, steps, warmup, decay)}
            values |= state.window.summary()
            values["images_per_second"] = float(state.window.sums[9]) * batch / (now - logged)
            if step % measure_every < log_every or last:
                values["held_out"] = setting.measure(state)
            state.window.clear()
            journal.log(values)
            note, logged = f"loss {values['loss']:.4f}", time.monotonic()
        journal.advance(note)
        if step % save_every == 0 or last or stop:
            journal.save(state)
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


@torch.no_grad()
def held_out_loss(
    objective: Objective, setting_draw: Draw, schedule: Schedule, pixels: Tensor,
    labels: Tensor | None, device: torch.device, batch: int = 128,
) -> float:  # fmt: skip
    """Mean loss over fixed images at fixed times with fixed noise: comparable over a whole run."""
    total = 0.0
    for first in range(0, len(pixels), batch):
        rows = slice(first, first + batch)
        x0 = (pixels[rows].float() / 127.5 - 1).to(device)
        rng = Rng([keyed("held out", first + row) for row in range(len(x0))])
        t, weight = setting_draw(schedule, len(x0), Rng([keyed("held out time", first)]))
        classes = None if labels is None else labels[rows].to(device)
        losses = objective(x0, t, rng, classes)
        total += float((losses.double() * weight.to(losses)).sum())
    return total / len(pixels)
