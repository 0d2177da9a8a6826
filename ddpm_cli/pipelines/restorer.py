"""Enlarging and restoring given images: by a model trained for it, or by data consistency."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from ddpm_cli.data.tasks import upscale
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.restoration import Separable, consistent, projected
from ddpm_cli.diffusion.rng import Rng, keyed
from ddpm_cli.files.records import Record
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, model, walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.pipelines.opening import Opened


class Row(NamedTuple):
    """An image to restore, uint8 [c, h, w], and what its result depends on beside it.

    label: the number of its class, if the model has classes; noise: the level of noise that is
    added to it first, of images in [-1, 1]; stage: how many models came before.
    """

    low: Tensor
    seed: int
    label: int | None
    noise: float = 0.0
    stage: int = 1


class Restored(NamedTuple):
    """Restored images uint8 [B, C, H, W], and how far each is from what was given.

    That is the largest difference, in levels of 255, between the image given and the result made
    small, grey or blurred again.
    """

    images: Tensor
    errors: list[float]


class Restorer(NamedTuple):
    """A model ready to restore images.

    task: what a conditional model sees, None for data consistency; operator: what took from the
    whole image what is given; exact: whether results shall agree with what is given.
    """

    model: Model
    walk: Walk
    task: upscale | None
    operator: Separable
    exact: bool

    def __call__(self, rows: Sequence[Row]) -> Restored | None:
        """Restore a batch, each image by its own row; None if the process was asked to stop."""
        low = self.model.to_values(torch.stack([row.low for row in rows]))
        labels = [row.label for row in rows if row.label is not None] or None
        seeds = [keyed(row.seed, "stage", row.stage) for row in rows]
        known = self.model.placed(low)
        batch = Batch(seeds, self.model.conditions(labels, **self._image(low, rows)))
        if self.exact:

            def wrap(denoise: Denoise, part: slice) -> Denoise:
                return consistent(denoise, self.operator, known[part])

            batch = batch._replace(wrap=wrap)
        state = walks.last(self.model.draw(batch, self.walk).states)
        if state is None:
            return None
        walks.refuse_not_finite(state.x, "the result has values that are not finite")
        x = projected(self.operator, state.x, known) if self.exact else state.x
        pixels = self.model.to_pixels(x).cpu()
        missed = self.operator.error(self.model.to_values(pixels).double(), low.double())
        return Restored(pixels, (missed * 127.5).tolist())

    def _image(self, low: Tensor, rows: Sequence[Row]) -> dict[str, Tensor]:
        """What a conditional model sees of the images given."""
        if self.task is None:
            return {}
        noise = torch.tensor([row.noise for row in rows])
        rng = Rng([keyed(row.seed, "noise", row.stage) for row in rows])
        return {"image": self.task.image(low, noise, rng)}


def opened(job: Opened, compute: Compute, *, exact: bool) -> Restorer:
    """The model of a checkpoint with its weights, as its settings restore."""
    return of(model.opened(job.place, job.config, compute), exact=exact)


def of(drawer: Model, *, exact: bool) -> Restorer:
    """A model as its settings restore."""
    task = cast("upscale | None", build.task(drawer.config, drawer.info))
    undo = build.operator(drawer.config, drawer.info)
    return Restorer(drawer, drawer.prepared(), task, undo, exact or task is None)


def class_of(label: str | None, record: Record, job: Opened) -> str | None:
    """The class of an image given: the one asked for, else what its file says, else none."""
    config, listed = job.config, record.get("classes")
    if label is None and isinstance(listed, list) and len(listed) == 1:
        known = classes.known(config, job.header.data)
        label = listed[0] if listed[0] in known else None
    return classes.fixed(label, config)


def stage_after(record: Record) -> int:
    """The stage that follows an image's own, which draws noise of its own from the same seed."""
    before = record.get("stage", 0)
    return before + 1 if isinstance(before, int) and before >= 0 else 1
