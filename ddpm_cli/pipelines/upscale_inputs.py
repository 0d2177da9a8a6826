"""What `ddpm upscale` is given: images, larger ones, measurements, or what is measured first."""

from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.pipelines import guided_windows, measurements, sizes
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.restorer import Restorer
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.settings.requests import Upscale


class Job(Protocol):
    """What of a job says how an input is read."""

    @property
    def request(self) -> Upscale:
        """What is asked for."""

    @property
    def opened(self) -> Opened:
        """The model, by its header, and its settings."""

    @property
    def steering(self) -> Steering | None:
        """The guides, if there are any."""

    @property
    def restore(self) -> Restorer:
        """The model with its weights."""


def given(job: Job, source: Source) -> tuple[Input, Tensor, Tensor | None]:
    """An input, what is known of it, pixels or numbers, and if that is known what was measured."""
    config, undo, shape = job.opened.config, job.restore.operator, job.opened.header.data.shape
    if source.name.endswith(measurements.SUFFIX) and not job.request.degrades:
        image = measurements.picture(source, shape)
        return image, measurements.read(source.name, undo.shape), None
    if not job.request.degrades:
        measurements.refuse_pictures(inputs.shown(source), config, undo.shape)
        image = _read(job, source)
        return image, image.image, None
    look, ranges = job.request.look, Ranges.of(job.request.use.range, job.opened.header.data.range)
    picture, takes = inputs.decode(source, ranges, comes_back=True), look.shape(shape)
    image = inputs.arranged(source, picture, takes, look.fit, look.background, look.channels)
    noise, made = job.request.noise, job.restore.model.randomness
    planes = image.values.chunk(takes[0] // shape[0])
    y = torch.cat([measurements.measured(plane, undo, noise, made) for plane in planes])
    return image, y, image.values


def _read(job: Job, source: Source) -> Input:
    """An image as the model takes it, or larger, to be made in windows, which is said."""
    look, restore = job.request.look, job.restore
    ranges = Ranges.of(job.request.use.range, job.opened.header.data.range)
    picture = inputs.decode(source, ranges, comes_back=True)
    takes, (wide, high) = look.shape(restore.operator.shape), picture.image.size
    if look.fit != "error" or not inputs.is_larger(picture, takes):
        return inputs.arranged(source, picture, takes, look.fit, look.background, look.channels)
    to: sizes.Shape = (takes[0], high, wide)
    image = inputs.arranged(source, picture, to, "error", look.background, look.channels)
    if job.request.is_downscaled:
        to = sizes.brought_down(to, takes)
        how = (to, job.opened.config, image.scale)
        small = sizes.shrunk(image.image, *how)
        original = sizes.shrunk(image.original, *how)
        image = image._replace(image=small, original=original)
    if to != takes:
        if job.steering:
            fix = "add --downscale, or leave the guide out"
            guided_windows.refuse(job.opened.config, inputs.shown(source), fix)
        trained = restore.model.info.shape
        large = sizes.larger(to, takes, trained, job.opened.config)
        sizes.say(inputs.shown(source), to, takes, large, trained)
    return image
