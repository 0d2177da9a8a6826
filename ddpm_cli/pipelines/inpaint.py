"""Holes in images of any size, filled by windows of a model's size, for `ddpm inpaint`."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.diffusion.linear_maps import Masked
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.failures import Failures
from ddpm_cli.files import captions
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import canvas, given_back, inputs, masks
from ddpm_cli.files.images.canvas import Canvas
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.outputs.edits import Results
from ddpm_cli.models import cost, memory, model
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.cost import Cost
from ddpm_cli.pipelines import (
    editing,
    familiar,
    filling,
    guided_windows,
    measurements,
    opening,
    steering,
)
from ddpm_cli.pipelines.filling import Filler, Job
from ddpm_cli.pipelines.lines import EditLines, Lines, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.settings.requests import Inpaint


class Work(NamedTuple):
    """What to do with each image; cost: of a window; price: what that takes, in words."""

    request: Inpaint
    opened: Opened
    asked: Asked
    canvas: Canvas
    cost: Cost
    price: str
    lines: Lines
    steering: Steering


def run(request: Inpaint, opened: Opened) -> None:
    """Fill the holes that a request names with a model and its settings."""
    sources, seeds = inputs.sources(request.inputs), request.seeds.numbers()
    work, use = _planned(request, opened), request.use
    if request.checks:
        _check(work, sources)
        return
    mine = editing.share(request, len(sources) * len(seeds))
    console.say(f"{many(mine, 'images')}, {work.price}")
    if use.dry_run:
        opening.shown(work.opened.config)
        return
    target = editing.results(request, sources, seeds, "inpainted")
    if not mine:
        return
    drawer = model.opened(work.opened.place, work.opened.config)
    filler = Filler.of(drawer, work.asked, request.noise, use.size)
    filler = filler._replace(complete=work.steering.load(filler.model.compute))
    is_traced = work.cost.gradients > 0
    memory.refuse_large(filler.model, min(use.size, mine), is_traced=is_traced)
    _inpaint(work, filler, sources, target)


def _check(work: Work, sources: Sequence[Source]) -> None:
    """Print the adjoint test of what the mask of each image leaves."""
    failures = Failures(len(sources))
    for image, hole in failures.passing(work.canvas.read, sources):
        shape, as_json = tuple(image.image.shape), work.request.use.as_json
        measurements.tell(f"mask of {image.name}", Masked(~hole, shape), shape, as_json=as_json)
    failures.finish()


def _planned(request: Inpaint, opened: Opened) -> Work:
    """What is asked for; what makes no sense is refused before any work."""
    shape = opened.header.data.shape
    inputs.mode_of(shape)
    page = _canvas(request, opened.header.data)
    opened, schedule = editing.sized(request, opened)
    place, header, config = opened
    found = told_of(request, opened, schedule)
    config = found.config
    each = cost.plan(config, schedule, is_steered=steering.goes_back(config))
    each = each.times(page.shape[0] // shape[0])  # every plane by itself
    window = f"each window of {shape[2]}x{shape[1]}"
    calls = each.words(f"for {window}" if each.calls else window)
    price = f"{many(each.moves, 'steps')}, {calls}"
    price += steering.described(config) if config["guides"] else ""
    told = Lines.of_walk(request.use.as_json, place.name, header, config, each.moves)
    opened = opened._replace(config=config)
    return Work(request, opened, found.asked, page, each, price, told, found)


def told_of(request: Inpaint, opened: Opened, schedule: Schedule) -> Steering:
    """What a model is told of all images or rows, and the guides of its walks if there are any."""
    found = steering.steered(request.use, request.guiding, opened, schedule, is_given=True)
    found.say(request.use.label)
    return found


def _canvas(request: Inpaint, info: DataInfo) -> Canvas:
    """How images are read; without anything to make anew there is nothing to do."""
    extend, panorama = request.extend, request.panorama
    look, mask = request.look, masks.Mask(request.mask, request.keeps, request.threshold)
    if not mask.places and extend is None and panorama is None:
        raise ConfigError("--mask: what to make anew? give a mask, --extend or --panorama")
    if extend is not None and panorama is not None:
        raise ConfigError("--panorama: --extend says already how much; give one of them")
    if look.fit in ("crop", "resize") and (extend or panorama):
        raise ConfigError(f"--fit {look.fit}: not with --extend and --panorama; use pad")
    mask.refuse_unusable()
    return Canvas(
        look.shape(info.shape),
        mask,
        canvas.NONE if extend is None else canvas.parse_growth(extend),
        None if panorama is None else canvas.parse_size(panorama),
        look.fit,
        look.background,
        Ranges.of(request.use.range, info.range),
        look.channels,
    )


def _inpaint(work: Work, filler: Filler, sources: Sequence[Source], target: Results) -> None:
    """Fill the holes of a batch of proposals after the other, and write each."""
    use, size = work.request.use, work.request.use.size
    record = filler.model.record("inpaint", size, label=work.asked.label, words=use.words)
    record |= work.asked.record | work.steering.record
    if "method" in work.opened.config:
        record["settings"]["method"] = work.opened.config["method"]
    captions.refuse(record, work.request.layout.labels, seed=0, name="", inputs=[""])
    count = sum(target.deals(source.name) for source in sources)
    failures, shares = Failures(count), list[float]()
    jobs = _jobs(work, filler, sources, target, failures, shares)
    calls, total, done = work.cost.calls, len(target.paths) or 1, 0
    told, shape = EditLines(work.lines, target), filler.model.info.shape
    told.skip(lambda name: {"input": name, **_told(work)})
    with console.progress(None if calls is None else calls * total, "network calls") as bar:
        laps = Watch(bar)
        drawer = filler.model.counting(bar.advance, laps.differentiated)
        filler = filler._replace(model=drawer)
        while batch := list(islice(jobs, max(1, size * shape[0] // work.canvas.shape[0]))):
            counts = [len(job.windows) for _, job, _ in batch]
            bar.expect((calls or 0) * (sum(counts) - len(batch)))
            if not filler.fill([job for _, job, _ in batch]):
                return
            for (image, job, hole), spent in zip(batch, laps.lap(counts), strict=True):
                whole = given_back.paste(image, job.canvas, hole)
                paths = target.add(image.name, job.seed, whole, record, image.scale)
                anew = round(masks.share(hole, image), 6)
                own = {"input": image.name, **_told(work), "anew": anew}
                told.tell(paths, image.name, job.seed, spent, **own)
            done += len(batch)
            bar.advance(0, note=f"{done} of {total} images")
    if count > 1 and shares:
        console.say(f"{_range(shares)} of each image is made anew")
    if work.request.skip_existing:
        told.finish()
    failures.finish()


def _range(shares: Sequence[float]) -> str:
    """Shares in words, as 12.5% or 12.5% to 25.0%."""
    ends = dict.fromkeys(f"{share:.1%}" for share in (min(shares), max(shares)))
    return " to ".join(ends)


def _jobs(
    work: Work,
    filler: Filler,
    sources: Sequence[Source],
    target: Results,
    failures: Failures,
    shares: list[float],
) -> Iterator[tuple[Input, Job, Tensor]]:
    """The proposals that are still wanted: the image, the work on it, and its hole.

    shares: gets the share of each image that is made anew.
    """
    wanted = [source for source in sources if target.missing(source.name)]
    _, *side = work.opened.header.data.shape
    for image, hole in failures.passing(work.canvas.read, wanted):
        shares.append(masks.share(hole, image))
        if len(sources) == 1:
            console.say(f"{shares[0]:.1%} of the image is made anew")
        is_noisy = work.request.noise > 0
        order = filling.order(hole, (side[0], side[1]), is_noisy=is_noisy)
        if len(order) > 1:
            console.say(f"{image.name}: {many(len(order), 'windows')}")
        if is_noisy and len(order) > 1:
            guided_windows.refuse(work.opened.config, image.name, "leave the guide out")
            _refuse_large(work, filler, len(order))
        familiar.look(filler.model, filler.asked, filler.task, image, hole, order)
        for seed in target.missing(image.name):
            made = torch.ones_like(hole) if is_noisy else hole
            yield image, Job(image.image, hole, seed, order, image.scale, is_noisy=is_noisy), made


def _refuse_large(work: Work, filler: Filler, windows: int) -> None:
    """Refuse an image of so many windows, all made at once, that does not fit."""
    rows = windows * (work.canvas.shape[0] // filler.model.info.shape[0])
    is_traced = work.cost.gradients > 0
    at_once = rows if is_traced else min(work.request.use.size, rows)
    memory.refuse_large(filler.model, at_once, is_traced=is_traced, windows=rows)


def _told(work: Work) -> dict[str, Any]:
    """What holes are filled with: the name of the class, if the model has classes, and more."""
    named = work.asked.names([0])
    return {"class": named[0] if named else None, **work.asked.record}
