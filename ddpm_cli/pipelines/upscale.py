"""Images enlarged, coloured or sharpened, for `ddpm upscale`."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.failures import Failures
from ddpm_cli.files import captions
from ddpm_cli.files.images import given_back, inputs
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.scales import BYTES
from ddpm_cli.files.records import Record
from ddpm_cli.guides.parts.user_code import load
from ddpm_cli.models import classes, cost, memory
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import (
    editing,
    familiar,
    measurements,
    opening,
    restorer,
    steering,
    upscale_inputs,
    upscale_job,
)
from ddpm_cli.pipelines.lines import EditLines, Lines, Spent, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.restorer import Restorer, Row
from ddpm_cli.pipelines.sizes import Shape, Windows
from ddpm_cli.pipelines.steering import Steering
from ddpm_cli.pipelines.upscale_job import Job, Wanted
from ddpm_cli.settings.config import RESTORING, Config
from ddpm_cli.settings.requests import Upscale

RESULTS = {"upscale": "upscaled", "colorize": "colorized", "deblur": "deblurred"}  # else restored
WRONG = 2.0  # levels of difference from which on an input is reported
AGAIN = {"upscale": "shrunk", "colorize": "in grey", "deblur": "blurred", "jpeg": "saved"}


class _Item(NamedTuple):
    """One result to be made: its name, the image that it is made of, and what it is told.

    clean: what was measured, values [C, h, w], where that is known.
    """

    name: str
    image: Input
    asked: Asked
    row: Row
    clean: Tensor | None = None


def run(request: Upscale, opened: Opened) -> None:
    """Restore the images that a request names with a model and its settings."""
    use, (opened, schedule) = request.use, editing.sized(request, opened)
    place, header, config = opened
    code = load(request.code["operator"]) if request.code else None
    compute = hardware.compute(**config["compute"])
    undo = measurements.operator(config, header.data, code, compute.device)
    measurements.refuse(config, undo, request.noise)  # before any work
    if request.checks:
        measurements.tell(request.named, undo, header.data.shape, as_json=use.as_json)
        return
    times = request.look.shape(header.data.shape)[0] // header.data.shape[0]
    found = steered(request, opened, schedule)
    use = upscale_job.told(use, found)
    if found:
        config = found.config
        opened = opened._replace(config=config)
    classes.one(restorer.class_of(use.label, {}, opened), config, header.data)
    if not found:
        classes.say(use.label, config, header.data)
    if use.texts or use.values or use.negative is not None:
        restorer.asked(use, {}, opened)
    wanted = Wanted(inputs.sources(request.inputs), request.seeds.numbers(), request.noises)
    planned = cost.plan(config, schedule, is_steered=steering.goes_back(config)).times(times)
    mine = editing.share(request, wanted.total)
    how = "a trained model" if header.task else "data consistency"
    how = request.chosen_method if "method" in config else how
    how += " with data consistency" if header.task and request.is_consistent else ""
    known = _windows(request, config, wanted.sources, header.data.shape, undo.shape)
    each = "" if use.shard else known.words(len(wanted.seeds) * len(wanted.noises))
    count = f"{many(mine, 'images')}{each}, {many(planned.moves, 'steps')}"
    steers = steering.described(config) if found else ""
    console.say(f"{request.named} by {how}: {count}, {planned.words(known.one)}{steers}")
    if use.dry_run:
        opening.shown(config)
        return
    results = editing.results(
        request, wanted.named, wanted.seeds, RESULTS.get(request.task, "restored")
    )
    if mine:
        told = Lines.of_walk(use.as_json, place.name, header, config, planned.moves)
        restore = restorer.opened(
            opened, compute, exact=request.is_consistent, size=use.size, undo=undo
        )._replace(noise=request.noise)
        is_traced = planned.gradients > 0
        memory.refuse_large(restore.model, min(use.size, mine), is_traced=is_traced)
        if found:
            restore = restore._replace(complete=found.load(compute))
        record = _common(request, opened, restore, [code.sha256] if code else [])
        record = {**record, **(found.record if found else {})}
        kept = (results, record, planned, told, found, known)
        _restore(Job(request, opened, restore, wanted, *kept))


def _windows(
    request: Upscale, config: Config, sources: Sequence[Source], trained: Shape, left: Shape
) -> Windows:
    """By how many windows results are made, as far as files say that before they are read."""

    def shape(source: Source) -> Shape | None:
        return upscale_inputs.shape(request, source, config, trained, left)

    return Windows.known(sources, shape, trained)


def steered(request: Upscale, opened: Opened, schedule: Schedule) -> Steering | None:
    """The guides of a request, if there are any; what no step of it has is refused."""
    if not opened.config["guides"]:
        return None
    if any(guide.get("at") == "mean" for guide in opened.config["guides"]):
        raise ConfigError("--grad-at mean: what is given changes the step; leave it out")
    found = steering.steered(request.use, request.guiding, opened, schedule, is_given=True)
    found.say(request.use.label)
    return found


def _common(request: Upscale, opened: Opened, restore: Restorer, hashes: Sequence[str]) -> Record:
    """What the records of all results say; hashes: of code that is run."""
    use, size = request.use, request.use.size
    record = restore.model.record("upscale", size, label=use.label, words=use.words)
    record["settings"] |= {
        table: opened.config[table] for table in RESTORING if table in opened.config
    }
    if hashes:
        record["operators"] = list(hashes)
    own = {"inputs": [""], "name": "", "seed": 0, "class": "", **restorer.sayable(opened)}
    captions.refuse(record, request.layout.labels, **own)
    return record


def _restore(job: Job) -> None:
    """Make all results and report each; an input that cannot be read fails alone."""
    failures = Failures(sum(map(job.deals, job.wanted.sources)))
    total = sum(count for count, _ in job.left)
    calls, done, told = job.cost.calls, 0, EditLines(job.lines, job.results)
    every = None if calls is None else calls * sum(math.prod(pair) for pair in job.left)
    told.skip(job.about.__getitem__)
    with console.progress(every, "network calls") as bar:
        laps = Watch(bar)
        drawer = job.restore.model.counting(bar.advance, laps.differentiated)
        counted = job.restore._replace(model=drawer)
        for batch in _batches(job, _items(job, failures)):
            windows = len(counted.at(batch[0].row.shape).windows)
            known = [job.windows.of.get(item.image.name, 1) for item in batch]
            bar.expect((calls or 0) * (windows * len(batch) - sum(known)))
            restored = counted([item.row for item in batch])
            if restored is None:
                return
            spent = laps.lap([windows] * len(batch))
            made = zip(batch, restored.images, restored.errors, spent, strict=True)
            for item, image, error, took in made:
                _write(job, item, image, error, took, told)
            done += len(batch)
            bar.advance(0, note=f"{done} of {total} images")
    if job.request.skip_existing:
        told.finish()
    failures.finish()


def _batches(job: Job, items: Iterator[_Item]) -> Iterator[list[_Item]]:
    """Results whose inputs are of one size, as many as have their windows computed at once.

    Gradients go back through all windows of an image, in however many parts they are computed.
    """
    restore, is_traced = job.restore, job.cost.gradients > 0
    for (shape, count), same in groupby(items, lambda item: (item.row.shape, len(item.row.low))):
        planes, is_first = count // restore.operator.shape[0], True
        windows = len(restore.at(shape).windows) * planes
        while batch := list(islice(same, max(1, restore.size // windows))):
            if windows > 1 and is_first:  # sizes are known only now; none after it is larger
                rows = len(batch) * windows
                rows = rows if is_traced else min(restore.size, rows)
                memory.refuse_large(restore.model, rows, is_traced=is_traced, windows=windows)
            is_first = False
            yield batch


def _items(job: Job, failures: Failures) -> Iterator[_Item]:
    """Every result that is not there yet, input by input."""
    for items in failures.passing(lambda source: _opened(job, source), job.wanted.sources):
        yield from items


def _opened(job: Job, source: Source) -> list[_Item]:
    """What is left to be made of one input, which is read if there is anything."""
    left = [
        (job.wanted.at(source, noise).name, noise, seed)
        for noise in job.wanted.noises
        for seed in job.results.missing(job.wanted.at(source, noise).name)
    ]
    if not left:
        return []
    image, low, shape, clean = upscale_inputs.given(job, source)
    if image.is_deep and job.request.task == "colorize":
        console.warn(f"{inputs.shown(image)}: 16 bits become 8, as only grey keeps them")
    if job.opened.header.data.shape[0] != 4:
        inputs.warn_opaque(image, job.request.look.background)
    asked = restorer.asked(job.told, image.record, job.opened)
    told, against = asked.alike()
    stage = restorer.stage_after(image.record)
    row = Row(low, shape, left[0][2], told, against, 0.0, stage, image.scale)
    if not job.request.noise:
        familiar.look_through(job.restore, inputs.shown(image), row)
    return [
        _Item(name, image, asked, row._replace(seed=seed, noise=noise), clean)
        for name, noise, seed in left
    ]


def _write(
    job: Job, item: _Item, image: Tensor, error: float, spent: Spent, told: EditLines
) -> None:
    """Write one result, and say what there is to say of it."""
    row, name, task = item.row, item.image.name, job.request.task
    if job.restore.exact and task in AGAIN and error > WRONG:
        console.warn(
            f"{name}: no image is just this when {AGAIN[task]} again; "
            f"the result of seed {row.seed} differs by {error:.0f} levels"
        )
    picture = given_back.grown(item.image, image, colourful=task == "colorize")
    noise = job.noise(row.noise)
    values = {"input": name, **item.asked.named, "noise": noise, "error": round(error, 3)}
    if item.clean is not None:
        made = row.scale.values(image)
        values["psnr"] = round(measurements.likeness(made, item.clean), 3)
    scale = BYTES if item.image.is_deep and picture.dtype == torch.uint8 else row.scale
    record = _record(job, item, error)
    paths = job.results.add(item.name, row.seed, picture, record, scale)
    told.tell(paths, item.name, row.seed, spent, **values)


def _record(job: Job, item: _Item, error: float) -> dict[str, Any]:
    """What a result says of its making."""
    row = item.row
    record = {
        **job.record,
        "inputs": [item.image.name],
        **item.asked.record,
        "classes": None if item.asked.label is None else [item.asked.label],
        "stage": row.stage,
        "error": round(error, 3),
    }
    noisy = ["--aug-noise", f"{row.noise:g}"] if row.noise else []
    if arguments := [*job.record.get("arguments", ()), *noisy]:
        record["arguments"] = arguments
    return record
