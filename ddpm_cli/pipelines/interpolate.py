"""The images between images or seeds, for `ddpm interpolate`."""

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion import latents
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.evaluation.fidelity import psnr
from ddpm_cli.files import captions
from ddpm_cli.files.images import inputs, scales
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.outputs.films import Timing
from ddpm_cli.files.outputs.frames import Frames, open_frames
from ddpm_cli.files.records import compact
from ddpm_cli.models import cost, memory, model, saved, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import inversion, lines, opening, steering
from ddpm_cli.pipelines.inversion import Coder
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.settings import passes
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Interpolate


class Work(NamedTuple):
    """What to do: between which ends, at which places (see latents.positions).

    sigma: the level at which the ends are given noise, if they do not walk; calls: of a frame.
    """

    request: Interpolate
    opened: Opened
    sources: list[Source]
    steering: Steering
    sigma: Tensor | None
    blend: str
    places: list[float]
    calls: int | None
    price: str
    lines: Lines

    @property
    def asked(self) -> Asked:
        """What the model is told."""
        return self.steering.asked


def run(request: Interpolate, opened: Opened) -> None:
    """Make the frames that a request asks for with a model and its settings."""
    shape = opened.header.data.shape
    inputs.mode_of(shape)
    sources = _ends(request)
    work = planned(request, opened, sources, len(sources or request.seeds or ()))
    if request.use.dry_run:
        console.say(work.price)
        opening.shown(work.opened.config)
        return
    target = open_frames(
        request.output or "interpolation.png",
        len(work.places),
        shape,
        force=request.use.force,
        timing=timed(request, len(sources or request.seeds or ())),
        layout=request.layout,
    )
    console.say(work.price)
    _interpolate(work, target)


def planned(request: Interpolate, opened: Opened, sources: list[Source], ends: int) -> Work:
    """What is asked for; what makes no sense is refused before any work. ends: how many."""
    place, header, config = opened
    schedule, calls = saved.schedule_of(header, place.path), request.use.calls
    if request.at is None:
        config = cost.sized(config, schedule, calls)
        sigma, blend = None, request.blend or "slerp"
        price = inversion.plan(config, schedule, is_steered=steering.goes_back(config))
    else:
        passes.refuse_drawing(config, "and frames have none")
        sigma, blend = walks.level(request.at, schedule), "lerp"
        config = cost.sized(config, schedule, calls, sigma)
        price = cost.plan(config, schedule, sigma, is_steered=steering.goes_back(config))
    try:
        places = latents.positions(ends, request.count, request.easing)
    except ValueError as error:
        raise ConfigError(f"--count {request.count}: {error}") from None
    found = steering.steered(
        request.use, request.guiding, opened._replace(config=config), schedule, top=sigma,
        is_given=True,
    )  # fmt: skip
    found.say(request.use.label)
    config = found.config
    frames = many(len(places), "frames" if header.data.is_image else "rows")
    what = "a frame" if header.data.is_image else "a row"
    words = f"{frames}, {many(price.moves, 'steps')}, {price.words(what)}"
    if sources and sigma is None:
        words += f", and about as many calls for each of the {ends} ends"
    words += steering.described(config) if config["guides"] else ""
    opened = opened._replace(config=config)
    told = Lines.of_walk(request.use.as_json, place.name, header, config, price.moves)
    return Work(request, opened, sources, found, sigma, blend, places, price.calls, words, told)


def timed(request: Interpolate, ends: int) -> Timing | None:
    """How long the frames of a film stay, if one is asked for."""
    if Path(request.output or "").suffix != ".gif" and not request.is_film:
        return None
    if request.hold is None:
        return Timing(request.speed)
    held = [number * (request.count - 1) for number in range(ends)]
    return Timing(request.speed, request.hold, held)


def placed(work: Work) -> list[str]:
    """Where each frame lies: the name of an end, or the share of the way to the next one."""
    ends = [source.stem for source in work.sources]
    ends = ends or [f"seed {seed}" for seed in work.request.seeds or ()]
    return [
        ends[int(place)] if place == int(place) else f"{place - int(place):.2g}"
        for place in work.places
    ]


def _ends(request: Interpolate) -> list[Source]:
    """The images at the ends; none if these are seeds."""
    sources = inputs.sources(request.inputs, repeated=True)
    refuse_ends(request, len(sources or request.seeds or ()), "images")
    return sources


def refuse_ends(request: Interpolate, count: int, noun: str) -> None:
    """Refuse fewer ends than two, and noise for ends that are noise."""
    if count < 2:
        raise ConfigError(f"INPUT: name two {noun} or more, or seeds: --seeds 1,2")
    if request.at is not None and not request.inputs:
        raise ConfigError(f"--at: gives {noun} noise, and seeds are noise already; leave it out")


def _interpolate(work: Work, target: Frames) -> None:
    """Make the frames, say how close the ends came, and write them."""
    coder = opened_coder(work)
    refuse_large(work, coder)
    captions.refuse(recorded(work, coder), work.request.layout.labels, frame=0, place="")
    ends = _ends_read(work, coder)
    images = torch.stack([end.values for end in ends]) if ends else None
    began = time.monotonic()
    frames, spent = walked(work, coder, images)
    if frames is None:
        return
    walks.refuse_not_finite(frames, "values that are not finite", "more --steps")
    if images is not None and work.sigma is None and not work.opened.config["guides"]:
        _report(work.opened.config, frames[:: work.request.count - 1], images)
    info = coder.model.info
    scale = scales.drawn([end.scale for end in ends], info.scale, info.shape)
    paths = target.write(frames, recorded(work, coder), scale, placed(work))
    count, seconds = len(paths) or 1, time.monotonic() - began
    spent = spent._replace(seconds=seconds / count)
    seeds = work.request.seeds or [work.request.seed]
    for path in paths:
        work.lines.tell(path, spent, **lines.seeded(seeds), **work.asked.named)


def refuse_large(work: Work, coder: Coder) -> None:
    """Refuse more frames at a time than fit into memory."""
    is_traced = steering.goes_back(work.opened.config)
    rows = min(work.request.use.size, len(work.places))
    memory.refuse_large(coder.model, rows, is_traced=is_traced)


def opened_coder(work: Work) -> Coder:
    """The model with its weights, and the guides of its walks down."""
    place, _, config = work.opened
    coder = Coder.of(model.opened(place, config))
    return coder._replace(complete=work.steering.load(coder.model.compute))


def walked(work: Work, coder: Coder, images: Tensor | None) -> tuple[Tensor | None, Spent]:
    """Find the ends, and walk down from each place between them; None if asked to stop.

    The frames, and what all of it took.
    """
    blend, parts = (latents.slerp if work.blend == "slerp" else latents.lerp), []
    frames = len(work.places)
    walked = frames + (0 if images is None or work.sigma is not None else len(images))
    total = None if work.calls is None else work.calls * walked
    with console.progress(total, "network calls") as bar:
        laps, done = Watch(bar), 0
        counted = coder.model.counting(bar.advance, laps.differentiated)
        coder = coder._replace(model=counted)
        ends = _starts(work, coder, images)
        if ends is None:
            return None, Spent()
        size = work.request.use.size
        for states in torch.split(latents.path(ends, work.places, blend), size):
            part = _descended(work, coder, states)
            if part is None:
                return None, Spent()
            parts.append(coder.model.info.finished(part))
            done += len(states)
            bar.advance(0, note=f"{done} of {frames} frames")
    return torch.cat(parts), laps.lap([1])[0]._replace(images=frames)


def _ends_read(work: Work, coder: Coder) -> list[Input]:
    """The images at the ends; none if the ends are seeds."""
    look, info = work.request.look, coder.model.info
    how = (look.fit, look.background, Ranges.of(work.request.use.range, info.range))
    return [inputs.read(s, info.shape, *how, comes_back=True) for s in work.sources]


def _starts(work: Work, coder: Coder, images: Tensor | None) -> Tensor | None:
    """States at the ends: latents in units of the prior or, with --at, noised images."""
    if images is None:
        seeds = work.request.seeds or ()
        like = torch.empty((len(seeds), *coder.model.info.shape), dtype=torch.float64)
        return coder.model.randomness.rng(seeds).normal(like)
    x0 = images.double()
    if work.sigma is not None:
        rng = inversion.noise([work.request.seed] * len(x0), coder.model.randomness)
        return latents.noised(x0, work.sigma, rng)
    rows = range(len(x0))
    return coder.encode(x0, work.asked.conditions(rows), work.asked.against(rows))


def _descended(work: Work, coder: Coder, states: Tensor) -> Tensor | None:
    """What comes of states on the path; with --at the noise of the walk, too, is the same."""
    seeds = [work.request.seed] * len(states)
    told, against = work.asked.conditions(seeds), work.asked.against(seeds)
    if work.sigma is None:
        states = latents.state(coder.model.schedule, states, coder.walk.levels[0])
    return coder.descend(states, seeds, told, against, work.sigma)


def _report(config: Config, ends: Tensor, x0: Tensor) -> None:
    """Say how close the frames at the ends are to the images there."""
    decibels = psnr(ends, x0).tolist()
    console.say(f"the ends come back at {', '.join(f'{value:.1f}' for value in decibels)} dB")
    inversion.warn_of_images(config, decibels)


def recorded(work: Work, coder: Coder) -> dict[str, Any]:
    """What the frames say of their making."""
    use = work.request.use
    record = coder.model.record("interpolate", use.size, label=work.asked.label, words=use.words)
    record |= work.asked.record | work.steering.record
    if work.sources:
        return record | {"inputs": [source.name for source in work.sources]}
    return record | {"seeds": compact(work.request.seeds or ())}
