"""The images between images or seeds, for `ddpm interpolate`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.rng import Rng
from ddpm_cli.errors import ConfigError
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs.frames import Frames, open_frames
from ddpm_cli.files.records import compact
from ddpm_cli.models import build, classes, cost, model, walks
from ddpm_cli.pipelines import encode, opening
from ddpm_cli.pipelines.encode import Coder
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings.requests import Interpolate

BATCH = 64


class Task(NamedTuple):
    """What to do: between which ends, at which places (see latents.positions).

    sigma: the level at which the ends are given noise, if they do not walk.
    """

    request: Interpolate
    opened: Opened
    sources: list[Source]
    label: str | None
    sigma: Tensor | None
    blend: str
    places: list[float]
    price: str

    def classes(self, seeds: Sequence[int]) -> list[int] | None:
        """The number of the class of each image."""
        return classes.numbers(self.label, seeds, self.opened.config, self.opened.header.data)


def run(request: Interpolate, opened: Opened) -> None:
    """Make the frames that a request asks for with a model and its settings."""
    shape = opened.header.data.shape
    inputs.mode_of(shape)
    task = _task(request, opened)
    console.say(task.price)
    if request.use.dry_run:
        opening.shown(task.opened.config)
        return
    count, force, speed = len(task.places), request.use.force, request.speed
    _interpolate(task, open_frames(request.output, count, shape, force=force, speed=speed))


def _task(request: Interpolate, opened: Opened) -> Task:
    """What is asked for; what makes no sense is refused before any work."""
    place, header, config = opened
    sources = _ends(request)
    ends = len(sources or request.seeds or ())
    schedule, calls = build.schedule_of(header, place.path), request.use.calls
    if request.at is None:
        config = cost.sized(config, schedule, calls)
        sigma, blend = None, request.blend or "slerp"
        moves, each = encode.plan(config, schedule)
    else:
        sigma, blend = walks.level(request.at, schedule), "lerp"
        config = cost.sized(config, schedule, calls, sigma)
        moves, each = cost.plan(config, schedule, sigma)
    try:
        places = latents.positions(ends, request.count)
    except ValueError as error:
        raise ConfigError(f"--count {request.count}: {error}") from None
    label = classes.fixed(request.use.label, config)
    classes.one(label, config, header.data)
    price = f"{len(places)} frames, {moves} steps, {cost.words(each, 'a frame')}"
    if sources and sigma is None:
        price += f", and about as many for each of the {ends} ends"
    opened = opened._replace(config=config)
    return Task(request, opened, sources, label, sigma, blend, places, price)


def _ends(request: Interpolate) -> list[Source]:
    """The images at the ends; none if these are seeds."""
    sources = inputs.sources(request.inputs, repeated=True)
    if len(sources or request.seeds or ()) < 2:
        raise ConfigError("INPUT: name two images or more, or seeds: --seeds 1,2")
    if request.at is not None and not sources:
        raise ConfigError("--at: gives images noise, and seeds are noise already; leave it out")
    return sources


def _interpolate(task: Task, target: Frames) -> None:
    """Make the frames, say how close the ends came, and write them."""
    place, _, config = task.opened
    coder = Coder.of(model.opened(place, config))
    images = _images(task, coder)
    frames = _frames(task, coder, images)
    if frames is None:
        return
    walks.refuse_not_finite(frames, "values that are not finite", "more --steps")
    if images is not None and task.sigma is None:
        _report(frames[:: task.request.count - 1], coder.model.to_values(images))
    for path in target.write(coder.model.to_pixels(frames), _record(task, coder)):
        if task.request.use.as_json:
            console.json_line({"path": str(path)})
        else:
            console.result(str(path))


def _frames(task: Task, coder: Coder, images: Tensor | None) -> Tensor | None:
    """Find the ends, and walk down from each place between them; None if asked to stop."""
    blend, parts = (latents.slerp if task.blend == "slerp" else latents.lerp), []
    with console.progress(len(task.places), "frames") as bar:
        ends = _starts(task, coder, images)
        if ends is None:
            return None
        size = task.request.use.batch or BATCH
        for states in torch.split(latents.path(ends, task.places, blend), size):
            part = _descended(task, coder, states)
            if part is None:
                return None
            parts.append(coder.model.info.restore(part))
            bar.advance(len(states))
    return torch.cat(parts)


def _images(task: Task, coder: Coder) -> Tensor | None:
    """The images at the ends, uint8 [E, C, H, W]; None if the ends are seeds."""
    if not task.sources:
        return None
    look, shape = task.request.look, coder.model.info.shape
    read = [inputs.read(source, shape, look.fit, look.background) for source in task.sources]
    return torch.stack([image.image for image in read])


def _starts(task: Task, coder: Coder, images: Tensor | None) -> Tensor | None:
    """States at the ends: latents in units of the prior or, with --at, noised images."""
    if images is None:
        seeds = task.request.seeds or ()
        like = torch.empty((len(seeds), *coder.model.info.shape), dtype=torch.float64)
        return Rng(seeds).normal(like)
    x0 = coder.model.to_values(images).double()
    if task.sigma is not None:
        return latents.noised(x0, task.sigma, encode.noise([task.request.seed] * len(x0)))
    return coder.encode(x0, task.classes(range(len(x0))))


def _descended(task: Task, coder: Coder, states: Tensor) -> Tensor | None:
    """What comes of states on the path; with --at the noise of the walk, too, is the same."""
    seeds = [task.request.seed] * len(states)
    if task.sigma is None:
        return coder.decode(states, task.classes(seeds))
    return coder.descend(states, seeds, task.classes(seeds), task.sigma)


def _report(ends: Tensor, x0: Tensor) -> None:
    """Say how close the frames at the ends are to the images there."""
    decibels = [f"{value:.1f}" for value in psnr(ends, x0).tolist()]
    console.say(f"the ends come back at {', '.join(decibels)} dB")


def _record(task: Task, coder: Coder) -> dict[str, Any]:
    """What the frames say of their making."""
    use = task.request.use
    record = coder.model.record(
        "interpolate", use.batch or BATCH, label=task.label, words=use.words
    )
    if task.sources:
        return record | {"inputs": [source.name for source in task.sources]}
    return record | {"seeds": compact(task.request.seeds or ())}
