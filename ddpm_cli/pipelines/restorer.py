"""Enlarging and restoring given images: by a model trained for it, or by data consistency."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from ddpm_cli.data.image_set import Conditions
from ddpm_cli.data.tasks import upscale
from ddpm_cli.diffusion.denoiser import Denoise
from ddpm_cli.diffusion.guidance import absorbed
from ddpm_cli.diffusion.measuring import Measured, Method, Operator, error
from ddpm_cli.diffusion.restoration import consistent, projected
from ddpm_cli.files.images.scales import BYTES, Scale
from ddpm_cli.files.records import Record
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, model, walk_parts, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Walk
from ddpm_cli.pipelines import sizes, windows
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.sizes import Shape
from ddpm_cli.pipelines.windows import Window
from ddpm_cli.settings import asking, passes
from ddpm_cli.settings.request_parts import Use


class Row(NamedTuple):
    """An image to restore, and what its result depends on beside.

    low: pixels [c, h, w] of a scale, or floats, a measurement as it is.

    told: what the network is told of it, by kind; against: what guidance is away from; noise: the
    level of noise that is added to it first, of images in [-1, 1]; stage: how many models came
    before; shape: of the result [C, H, W], or of each of its planes by itself.
    """

    low: Tensor
    shape: Shape
    seed: int
    told: Conditions
    against: Conditions
    noise: float = 0.0
    stage: int = 1
    scale: Scale = BYTES

    @property
    def y(self) -> Tensor:
        """What is known: pixels as values in [-1, 1], a measurement as it is."""
        return self.low if self.low.is_floating_point() else self.scale.values(self.low)


class Restored(NamedTuple):
    """Restored images, pixels [C, H, W] of the scales of their rows, and how far each is off.

    That is the largest difference, in levels of 255, between what is given and the result made
    small, grey or blurred, or measured, again.
    """

    images: list[Tensor]
    errors: list[float]


class Restorer(NamedTuple):
    """A model ready to restore images.

    task: what a conditional model sees, None for data consistency; operator: what took from the
    whole image what is given; exact: whether results shall agree with what is given; size: how
    many windows the network sees at once, or images, if there are more; shape: of the results, the
    model's own or that of larger images; see `at`. method: what is made of what is known instead
    of making it exact, and noise the deviation of that in it; complete: puts guides around the
    denoiser, if there are any.
    """

    model: Model
    walk: Walk
    task: upscale | None
    operator: Operator
    exact: bool
    size: int
    shape: Shape
    method: Callable[[Measured], Method] | None = None
    noise: float = 0.0
    complete: Callable[[Batch], Batch] | None = None

    def at(self, shape: Shape) -> "Restorer":
        """The same for results of a shape: larger ones are walked in windows."""
        if shape == self.shape:
            return self
        info = self.model.info._replace(shape=shape)
        task = cast("upscale | None", build.task(self.model.config, info))
        undo = walk_parts.operator(self.model.config, info)
        return self._replace(task=task, operator=undo, shape=shape)

    def whole(self, low: Shape) -> Shape:
        """The shape of results of what is given in the shape `low`."""
        takes = self.operator.shape
        if low == takes:
            return self.shape
        return sizes.larger(low, takes, self.shape, self.model.config)

    @property
    def windows(self) -> list[Window]:
        """The parts, as large as the model, in which results are made; one is all of a result."""
        return windows.every(self.shape, self.model.info.shape)

    def __call__(self, rows: Sequence[Row]) -> Restored | None:
        """Restore a batch of images of one size, each by its own row; None if asked to stop.

        Of images with more planes than the model sees each plane is one by itself.
        """
        one = self.operator.shape[0]
        planes = [
            row._replace(low=plane) for row in rows for plane in row.low.chunk(len(row.low) // one)
        ]
        found = self.at(rows[0].shape)._restored(planes)
        if found is None or len(planes) == len(rows):
            return found
        images, errors = (torch.stack(found.images), torch.tensor(found.errors))
        each = (len(rows), len(planes) // len(rows))
        whole = images.view(each[0], -1, *images.shape[2:])
        return Restored([*whole], errors.view(each).amax(1).tolist())

    def _restored(self, rows: Sequence[Row]) -> Restored | None:
        low = torch.stack([row.y for row in rows])
        told, against = _stacked([r.told for r in rows]), _stacked([r.against for r in rows])
        seeds = self._keys("stage", rows)
        known = self.model.placed(low)
        batch = Batch(seeds, told | self._image(low, rows), against)
        batch = windows.walking(self.model, batch, self.shape, self.size)
        if self.method is not None:
            batch = batch._replace(method=partial(self._known, self.method, known))
        batch = self.complete(batch) if self.complete else batch
        if self.exact:
            batch = batch._replace(wrap=self._agreeing(known, batch.wrap))
        state = walks.last(self.model.draw(batch, self.walk).states)
        if state is None:
            return None
        walks.refuse_not_finite(state.x, "the result has values that are not finite")
        x = projected(self.operator, state.x, known) if self.exact else state.x
        pixels = [row.scale.pixels(one).cpu() for row, one in zip(rows, x, strict=True)]
        pairs = zip(rows, pixels, strict=True)
        values = torch.stack([row.scale.values(one) for row, one in pairs])
        missed = error(self.operator, values.double(), low.double())
        return Restored(pixels, (missed * 127.5).tolist())

    def _known(self, make: Callable[[Measured], Method], y: Tensor, rows: slice) -> Method:
        """A method for some rows of what is known."""
        return make(Measured(self.operator, y[rows], self.noise))

    def _agreeing(
        self, known: Tensor, guided: Callable[[Denoise, slice], Denoise] | None
    ) -> Callable[[Denoise, slice], Denoise]:
        """What makes predicted images agree with what is known of them, guided ones, too."""

        def wrap(denoise: Denoise, part: slice) -> Denoise:
            inner = absorbed(guided(denoise, part)) if guided else denoise
            return consistent(inner, self.operator, known[part])

        return wrap

    def _image(self, low: Tensor, rows: Sequence[Row]) -> dict[str, Tensor]:
        """What a conditional model sees of the images given."""
        if self.task is None:
            return {}
        noise = torch.tensor([row.noise for row in rows])
        rng = self.model.randomness.rng(self._keys("noise", rows))
        return {"image": self.task.image(low, noise, rng)}

    def _keys(self, purpose: str, rows: Sequence[Row]) -> list[int]:
        """A seed for each image, another one in each stage."""
        return [self.model.randomness.key(row.seed, purpose, row.stage) for row in rows]


def opened(
    job: Opened, compute: Compute, *, exact: bool, size: int, undo: Operator | None = None
) -> Restorer:
    """The model of a checkpoint with its weights, as its settings restore; see `of`."""
    return of(model.opened(job.place, job.config, compute), exact=exact, size=size, undo=undo)


def of(drawer: Model, *, exact: bool, size: int, undo: Operator | None = None) -> Restorer:
    """A model as its settings restore; undo: the operator, if it is the user's own."""
    task = cast("upscale | None", build.task(drawer.config, drawer.info))
    undo = undo or walk_parts.operator(drawer.config, drawer.info)
    method = walk_parts.method(drawer.config)
    is_exact = exact or (task is None and method is None)
    walk, shape = drawer.prepared(), drawer.info.shape
    return Restorer(drawer, walk, task, undo, is_exact, size, shape, method)


def _stacked(rows: Sequence[Conditions]) -> Conditions:
    """Conditions of images, each without an axis for them, as those of a batch."""
    return {kind: torch.stack([row[kind] for row in rows]) for kind in rows[0]}


def asked(use: Use, record: Record, job: Opened) -> Asked:
    """What an image given is told: what is asked for, else what its file says, else nothing."""
    config, info = job.config, job.header.data
    label = class_of(use.label, record, job)
    classes.one(label, config, info)
    own = told(record, use.negative, job)
    texts, values = use.texts or own.texts, use.values or own.values
    found = Asked.of(replace(use, texts=texts, values=values), config, info, label)
    found.refuse_several()
    return found


def sayable(opened: Opened) -> dict[str, Any]:
    """What a record says that results are told, each by itself."""
    own = Asked(opened.config, opened.header.data).record
    numbers = dict.fromkeys(own.get("values", ()), 0.0)
    return {key: {"text": "", "values": numbers}[key] for key in own}


def told(own: Record, negative: str | None, job: Opened) -> Use:
    """A request for what a record says that an image was told, so far as a model takes it."""
    config, known = job.config, job.header.data.values
    text, values = own.get("text"), own.get("values")
    numbers = values if isinstance(values, Mapping) and known and "values" in config else {}
    mine = {name: numbers[name] for name in known.names if name in numbers} if known else {}
    is_text = "text" in config
    return Use(
        values=asking.words(mine),
        texts=[text] if is_text and isinstance(text, str) else [],
        negative=negative if passes.is_classifier_free(config) and is_text else None,
    )


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
