"""Warnings of images that are unlike all that a model was trained on, before any work on them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data.tasks import Task, inpaint
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.familiarity import LEVELS, STRANGE, strangeness
from ddpm_cli.diffusion.measuring import solved
from ddpm_cli.diffusion.rng import PHILOX
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import guided_restoring
from ddpm_cli.pipelines.restorer import Restorer, Row
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.pipelines.windows import Window, bound, every
from ddpm_cli.settings.checks import NO_MEANS
from ddpm_cli.settings.guides import MASK
from ddpm_cli.settings.request_parts import Use

LEAST = 100  # values that are known, of fewer chance decides
MEASURED = 0.8  # the most of images made of small ones, which lack what is fine
LOOKED_THROUGH = ("upscale", "colorize")  # not deblur: it may be undone by too much or too little
MOST = 16  # parts of an image that are looked at


def look(
    model: Model,
    asked: Asked,
    task: Task | None,
    image: Input,
    hole: Tensor,
    order: Sequence[Window],
) -> None:
    """Warn of a strange image by what is known of it, all but `hole` bool [1,H,W].

    order: the windows that will be filled; asked: what the model is told of them.
    """
    if (own := judge(model)) is None:
        return
    values, told = [], asked.conditions([0] * len(LEVELS))
    for window in order[:: -(-len(order) // MOST) or 1]:
        known = ~window.of(hole)
        if int(known.sum()) * len(image.image) < LEAST:
            continue
        planes = model.placed(image.scale.values(window.of(image.image)))
        for x0 in planes.chunk(len(planes) // model.info.shape[0]):
            if isinstance(task, inpaint):  # which is told of none, so that it does not look
                none = torch.zeros(len(LEVELS), *known.shape).to(x0)
                told["image"] = task.image(_rows(x0[None]), none)
            values.append(found(own.bound(told), x0[None], known.to(x0).mul))
    warn(model, inputs.shown(image), values)


def look_through(restore: Restorer, name: str, row: Row) -> None:
    """Warn of a strange image by what a small, grey or blurred one says of it."""
    own, at = judge(restore.model), restore.at(row.shape)
    is_known = restore.model.config["operator"]["name"] in LOOKED_THROUGH
    if own is None or not is_known or row.low.numel() < LEAST:
        return
    told, values = {kind: _rows(rows[None]) for kind, rows in row.told.items()}, []
    for plane in row.low.chunk(len(row.low) // at.operator.shape[0]):
        low = row._replace(low=plane).y[None]
        if at.task is not None:
            places = range(len(LEVELS))
            rng, clean = PHILOX.rng("familiar", places), torch.zeros(len(LEVELS))
            told["image"] = at.task.image(_rows(low), clean, rng)
        denoise = own.bound(told)
        if len(at.windows) > 1:
            denoise = bound(own, at.windows, at.size, told)(slice(0, len(LEVELS)), {})
        x0 = solved(at.operator, own.placed(low), 0.0)
        values.append(found(denoise, x0, at.operator))
    warn(own, name, values, MEASURED)


def look_known(model: Model, steering: Steering, flags: Mapping[str, Any], use: Use) -> None:
    """Warn of a strange image by what `ddpm guide --restore` knows of it.

    steering: of what is drawn, which may be larger than the model; flags: the options of guides.
    """
    own, device = judge(model), model.compute.device
    if own is None or flags.get("restore") not in (*LOOKED_THROUGH, MASK) or flags.get("noise"):
        return  # noise makes anything strange
    info, known = steering.info, steering.restored
    if known is not None:  # which a guide keeps to itself
        seen = known.operator, known.y
    elif (read := guided_restoring.known(flags, model.config, info, device, use.range)) is None:
        return
    else:
        seen = read
    operator, y = seen
    if y.numel() < LEAST:
        return
    told = steering.asked.conditions([0] * len(LEVELS))
    denoise, places = own.bound(told), every(info.shape, own.info.shape)
    if len(places) > 1:
        denoise = bound(own, places, MOST, told)(slice(0, len(LEVELS)), {})
    value = found(denoise, solved(operator, own.placed(y), 0.0), operator)
    most = STRANGE if flags["restore"] == MASK else MEASURED
    warn(own, inputs.shown(Source(str(flags["image"]), "image")), [value], most)


def judge(model: Model) -> Model | None:
    """The model as it was trained, without guidance; None of one that predicts no means."""
    if model.config.get("loss", {}).get("name") in NO_MEANS:
        return None
    config = {table: own for table, own in model.config.items() if table != "guidance"}
    return model._replace(config=config)


@torch.no_grad()
def found(denoise: Denoise, x0: Tensor, seen: Callable[[Tensor], Tensor]) -> float:
    """The strangeness of an image x0 [1, C, H, W], by what is `seen` of it, at all levels."""
    rows = _rows(x0)
    noise = PHILOX.rng("familiar", range(len(rows))).normal(rows)
    return float(strangeness(denoise, rows, _levels(denoise.schedule), noise, seen).mean())


def warn(model: Model, name: str, values: Sequence[float], most: float = STRANGE) -> None:
    """Warn of an image whose parts are stranger than `most` on average."""
    if values and sum(values) / len(values) > most:
        what = f"unlike all that {model.name} was trained on, and that is all it can add"
        console.warn(f"{name}: {what}; -m chooses another model")


def _rows(x0: Tensor) -> Tensor:
    """An image [1, C, H, W], or what is told of it, once for each level."""
    return x0.expand(len(LEVELS), *x0.shape[1:])


def _levels(schedule: Schedule) -> Tensor:
    """The trained levels nearest to those of the test."""
    wanted = torch.tensor(LEVELS, dtype=torch.float64)
    if schedule.steps is None:
        return wanted
    trained = schedule.levels
    return trained[(trained.log() - wanted.log()[:, None]).abs().argmin(1)]
