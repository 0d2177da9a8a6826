"""Images made of given ones, for `ddpm sample --image`."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.errors import many
from ddpm_cli.failures import Failures
from ddpm_cli.files import captions
from ddpm_cli.files.images import given_back, inputs, scales
from ddpm_cli.files.images.decoding import Ranges
from ddpm_cli.files.images.inputs import Input, Source
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.outputs.edits import Results
from ddpm_cli.files.records import Record
from ddpm_cli.models import cost, memory
from ddpm_cli.models.asked import Asked
from ddpm_cli.pipelines import editing, measurements, opening, restorer, sizes, translating
from ddpm_cli.pipelines.lines import EditLines, Lines, Spent, Watch, digest
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.sizes import Shape, Windows
from ddpm_cli.pipelines.translating import Row, Translator
from ddpm_cli.settings.requests import Translate


class Job(NamedTuple):
    """All that the results depend on."""

    request: Translate
    opened: Opened
    translate: Translator
    sources: Sequence[Source]
    results: Results
    record: Record
    calls: int | None
    lines: Lines


class _Item(NamedTuple):
    """One result to be made: the image that it is made of, its hash, and what it is told."""

    image: Input
    hash: str | None
    asked: Asked
    row: Row


def run(request: Translate, opened: Opened) -> None:
    """Make images of those that a request names with a model and its settings."""
    use = request.use
    translating.place(opened.config, request.task, degrades=request.degrades)
    opened, schedule = editing.sized(request, opened)
    place, header, config = opened
    Asked.given(use, config, header.data).say(use.label)  # what cannot be told is refused here
    sources, seeds = inputs.sources(request.inputs), request.seeds.numbers()
    planned = cost.plan(config, schedule)
    mine = editing.share(request, len(sources) * len(seeds))
    known = _windows(request, sources, header.data.shape)
    each = "" if use.shard else known.words(len(seeds))
    count = f"{many(mine, 'images')} of {len(sources)}{each}"
    console.say(f"{count}, {many(planned.moves, 'steps')}, {planned.words(known.one)}")
    if use.dry_run:
        opening.shown(config)
        return
    results = editing.results(request, sources, seeds, "samples")
    if mine:
        told = Lines.of_walk(use.as_json, place.name, header, config, planned.moves)
        _translate(_job(request, opened, sources, results, planned.calls, told, mine))


def _windows(request: Translate, sources: Sequence[Source], trained: Shape) -> Windows:
    """By how many windows results are made, as far as files say that before they are read."""

    def shape(source: Source) -> Shape | None:
        if request.look.fit != "error":
            return trained
        found = measurements.size(source)
        return sizes.given(found, trained) if found else None

    return Windows.known(sources, shape, trained)


def _job(
    request: Translate,
    opened: Opened,
    sources: Sequence[Source],
    results: Results,
    calls: int | None,
    told: Lines,
    count: int,
) -> Job:
    """Load the model; calls: of a window; count: how many images there are."""
    use = request.use
    compute = hardware.compute(**opened.config["compute"])
    translate = translating.opened(opened, compute, request.task, use.size)
    memory.refuse_large(translate.model, min(use.size, count))
    record = translate.model.record("sample", use.size, label=use.label, words=use.words)
    own = {"inputs": [""], "name": "", "seed": 0, "class": "", **restorer.sayable(opened)}
    captions.refuse(record, request.layout.labels, **own)
    return Job(request, opened, translate, sources, results, record, calls, told)


def _translate(job: Job) -> None:
    """Make all results and report each; an input that cannot be read fails alone."""
    wanted = [source for source in job.sources if job.results.deals(source.name)]
    failures = Failures(len(wanted))
    total = sum(len(job.results.missing(source.name)) for source in wanted)
    calls, done, told = job.calls, 0, EditLines(job.lines, job.results)
    told.skip(lambda name: {"input": name, "class": None, "input_hash": None})
    with console.progress(None if calls is None else calls * total, "network calls") as bar:
        translate = job.translate._replace(model=job.translate.model.counting(bar.advance))
        laps = Watch(bar)
        for batch in _batches(job.translate, _items(job, wanted, failures)):
            count = len(translate.windows(_side(batch[0])))
            bar.expect((calls or 0) * (count - 1) * len(batch))
            made = translate([item.row for item in batch])
            if made is None:
                return
            spent = laps.lap([count] * len(batch))
            for item, values, took in zip(batch, made, spent, strict=True):
                _write(job, item, values, took, told)
            done += len(batch)
            bar.advance(0, note=f"{done} of {total} images")
    if job.request.skip_existing:
        told.finish()
    failures.finish()


def _side(item: _Item) -> tuple[int, int]:
    """Height and width of a result."""
    *_, height, width = item.row.given.shape
    return height, width


def _batches(translate: Translator, items: Iterator[_Item]) -> Iterator[list[_Item]]:
    """Results of one size, as many as have their windows computed at once."""
    for side, same in groupby(items, key=_side):
        count, is_first = len(translate.windows(side)), True
        while batch := list(islice(same, max(1, translate.size // count))):
            if count > 1 and is_first:  # sizes are known only now; none after it is larger
                memory.refuse_large(translate.model, min(translate.size, len(batch) * count))
            is_first = False
            yield batch


def _items(job: Job, wanted: Sequence[Source], failures: Failures) -> Iterator[_Item]:
    """Every result that is not there yet, input by input."""
    left = [source for source in wanted if job.results.missing(source.name)]
    for items in failures.passing(lambda source: _opened(job, source), left):
        yield from items


def _opened(job: Job, source: Source) -> list[_Item]:
    """What is left to be made of one input."""
    image = _read(job, source)
    given, known = _given(job, image)
    asked = restorer.asked(job.request.use, image.record, job.opened)
    file = None if source.name == inputs.STDIN else digest(Path(source.name))
    return [
        _Item(image, file, asked, translating.row(given, known, seed, asked))
        for seed in job.results.missing(source.name)
    ]


def _read(job: Job, source: Source) -> Input:
    """An image as the model takes it, or larger, to be made in windows, which is said."""
    look, trained = job.request.look, job.opened.header.data
    picture = inputs.decode(source, Ranges.of(job.request.use.range, trained.range))
    channels = trained.shape[0] if job.request.degrades else job.translate.task.given
    takes, (wide, high) = (channels, *trained.shape[1:]), picture.image.size
    if look.fit != "error" or not inputs.is_larger(picture, takes):
        return inputs.arranged(source, picture, takes, look.fit, look.background)
    shape = (channels, high, wide)
    count = sizes.windows_of(inputs.shown(source), shape, trained.shape)
    size = f"{wide}x{high} pixels, trained on {takes[2]}x{takes[1]}"
    console.say(f"{inputs.shown(source)}: {size}: by {many(count, 'windows')}")
    return inputs.arranged(source, picture, shape, "error", look.background)


def _given(job: Job, image: Input) -> tuple[Tensor, Tensor]:
    """What the network is given of an input, values [K, h, w], and which of them are known.

    Of a model that fills in, what is clear is missing, and what is beside a padded image.
    """
    translate, values = job.translate, image.values
    everything = torch.ones_like(values[:1], dtype=torch.bool)
    if job.request.degrades:
        return translate.filtered(values)
    if not translate.fills:
        if len(image.image) != 4:
            inputs.warn_opaque(image, job.request.look.background)
        return values, everything
    known = inputs.solid(image)
    if bool(known.all()):
        fix = "make that clear, or --fit pad leaves room around it"
        console.warn(f"{inputs.shown(image)}: nothing of it is missing; {fix}")
    return values, known


def _write(job: Job, item: _Item, values: Tensor, spent: Spent, told: EditLines) -> None:
    """Write one result in the colours of the model, without padding that was no room to fill."""
    image, row, data = item.image, item.row, job.opened.header.data
    scale: Scale = scales.drawn([image.scale], data.scale, data.shape)
    pixels = scale.pixels(values)
    if not job.translate.fills:
        pixels = given_back.unpadded(image, pixels)
    record = {
        **job.record,
        "inputs": [image.name],
        "input_hash": item.hash,
        **item.asked.record,
        "classes": None if item.asked.label is None else [item.asked.label],
    }
    paths = job.results.add(image.name, row.seed, pixels, record, scale)
    own: dict[str, Any] = {"input": image.name, **item.asked.named, "input_hash": item.hash}
    told.tell(paths, image.name, row.seed, spent, **own)
