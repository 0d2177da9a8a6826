"""What `ddpm upscale` is given: images, larger ones, measurements, or what is measured first."""

from typing import Protocol

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.errors import many
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.pipelines import measurements, restorer
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
    is_larger = wide >= takes[2] and high >= takes[1] and (high, wide) != takes[1:]
    if look.fit != "error" or not is_larger:
        return inputs.arranged(source, picture, takes, look.fit, look.background, look.channels)
    to: restorer.Shape = (takes[0], high, wide)
    image = inputs.arranged(source, picture, to, "error", look.background, look.channels)
    if job.request.is_downscaled:
        to = restorer.brought_down(to, takes)
        how = (to, job.opened.config, image.scale)
        small = restorer.shrunk(image.image, *how)
        original = restorer.shrunk(image.original, *how)
        image = image._replace(image=small, original=original)
    if to != takes:
        if job.steering:
            job.steering.refuse_larger(inputs.shown(source))
        trained = restore.model.info.shape
        large = restorer.larger(to, takes, trained, job.opened.config)
        count = restorer.windows_of(inputs.shown(source), large, trained)
        size = f"{to[2]}x{to[1]} pixels, trained on {takes[2]}x{takes[1]}"
        console.say(
            f"{inputs.shown(source)}: {size}: {large[2]}x{large[1]} by {many(count, 'windows')}"
        )
    return image
