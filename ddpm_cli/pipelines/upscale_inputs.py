"""What `ddpm upscale` is given: images, larger ones, measurements, or what is measured first."""

from typing import NamedTuple

import torch
from torch import Tensor

from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.pipelines import guided_windows, measurements, sizes
from ddpm_cli.pipelines.sizes import Shape
from ddpm_cli.pipelines.upscale_job import Job
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Upscale


class Given(NamedTuple):
    """An input, what is known of it, pixels or numbers, and the shape of what is made of it.

    clean: what was measured, if that is known.
    """

    image: Input
    y: Tensor
    shape: Shape
    clean: Tensor | None = None


def given(job: Job, source: Source) -> Given:
    """What a source gives; of larger images than the model's that is said."""
    if job.request.degrades:
        return _degraded(job, source)
    takes = job.restore.operator.shape
    if source.name.endswith(measurements.SUFFIX):
        return _numbers(job, source, takes)
    measurements.refuse_pictures(inputs.shown(source), job.opened.config, takes)
    image = _read(job, source, job.request.look.shape(takes))
    low = tuple(image.image.shape)
    shape = job.restore.whole(low)
    _say(job, source, low, takes, shape)
    return Given(image, image.image, shape)


def shape(
    request: Upscale, source: Source, config: Config, trained: Shape, left: Shape
) -> Shape | None:
    """The shape of what is made of a source, by its header alone; None if that tells nothing.

    left: what the operator leaves of an image of the model's own shape, `trained`.
    """
    look, is_whole = request.look, request.degrades
    is_array = source.name.endswith(measurements.SUFFIX)
    takes = left if is_array else look.shape(trained if is_whole else left)
    if look.fit != "error" and not is_array:
        return trained
    if not (found := measurements.size(source)):
        return None
    is_local = config["operator"]["name"] not in measurements.GLOBAL
    low = sizes.given(found[-2:], takes) if is_local or not is_array else takes
    if request.is_downscaled and not is_array:
        low = sizes.brought_down(low, takes)
    if is_whole:
        return trained[0], *low[1:]
    return trained if low == left else sizes.larger(low, left, trained, config)


def _numbers(job: Job, source: Source, takes: Shape) -> Given:
    """A measurement in a file; takes: what the operator leaves of an image of the model's size."""
    config, found = job.opened.config, measurements.size(source)
    measurements.refuse_global(source.name, config, found, takes)
    is_local = config["operator"]["name"] not in measurements.GLOBAL
    low = sizes.given(found[-2:], takes) if is_local else takes
    y, shape = measurements.read(source.name, low), job.restore.whole(low)
    _say(job, source, low, takes, shape)
    return Given(measurements.picture(source, shape), y, shape)


def _degraded(job: Job, source: Source) -> Given:
    """A whole image, and what is left of it."""
    trained, noise = job.restore.model.info.shape, job.request.noise
    takes = job.request.look.shape(trained)
    image = _read(job, source, takes)
    low = tuple(image.image.shape)
    shape = (trained[0], *low[1:])
    _say(job, source, low, takes, shape)
    undo, made = job.restore.at(shape).operator, job.restore.model.randomness
    planes = image.values.chunk(len(image.values) // trained[0])
    y = torch.cat([measurements.measured(plane, undo, noise, made) for plane in planes])
    return Given(image, y, shape, image.values)


def _read(job: Job, source: Source, takes: Shape) -> Input:
    """An image as the model takes it, or larger, to be made in windows."""
    look = job.request.look
    ranges = Ranges.of(job.request.use.range, job.opened.header.data.range)
    picture = inputs.decode(source, ranges, comes_back=True)
    if look.fit != "error" or not inputs.is_larger(picture, takes):
        return inputs.arranged(source, picture, takes, look.fit, look.background, look.channels)
    wide, high = picture.image.size
    to: Shape = (takes[0], high, wide)
    image = inputs.arranged(source, picture, to, "error", look.background, look.channels)
    if job.request.is_downscaled:
        to = sizes.brought_down(to, takes)
        how = (to, job.opened.config, image.scale)
        small = sizes.shrunk(image.image, *how)
        original = sizes.shrunk(image.original, *how)
        image = image._replace(image=small, original=original)
    return image


def _say(job: Job, source: Source, low: Shape, takes: Shape, shape: Shape) -> None:
    """Say by how many windows an image is made; guides that see no larger ones are refused."""
    name, config, trained = inputs.shown(source), job.opened.config, job.restore.model.info.shape
    if shape == trained:
        return
    measurements.refuse_global(name, config, low[-2:], takes)
    if job.steering:
        guided_windows.refuse(config, name, "add --downscale, or leave the guide out")
    sizes.say(name, low, takes, shape, trained)
