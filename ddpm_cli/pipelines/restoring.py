"""Which results are asked for of images to be restored, and how they are made batch by batch."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console
from ddpm_cli.failures import Failures
from ddpm_cli.files.images import inputs
from ddpm_cli.files.images.inputs import Fit, Input, Source
from ddpm_cli.files.outputs.edits import Results
from ddpm_cli.files.records import Record
from ddpm_cli.models import classes
from ddpm_cli.pipelines import upscale
from ddpm_cli.pipelines.upscale import Row, Upscaler

WRONG = 2.0  # levels of difference from which on an input is reported
AGAIN = {"upscale": "shrunk", "colorize": "in grey", "deblur": "blurred"}


class Wanted(NamedTuple):
    """What is asked for: a result of each source with each seed and each level of noise."""

    sources: Sequence[Source]
    seeds: Sequence[int]
    noises: Sequence[float]

    @property
    def total(self) -> int:
        """The number of results."""
        return len(self.sources) * len(self.seeds) * len(self.noises)

    @property
    def named(self) -> list[Source]:
        """The sources as results are named: each as often as there are levels of noise."""
        return [self.at(source, noise) for source in self.sources for noise in self.noises]

    def at(self, source: Source, noise: float) -> Source:
        """A source as its results at a level of noise are named."""
        if len(self.noises) == 1:
            return source
        return Source(f"{source.name} with noise {noise:g}", f"{source.stem}-noise{noise:g}")


class Job(NamedTuple):
    """All that the results depend on; label: the class asked for, if any."""

    upscaler: Upscaler
    wanted: Wanted
    results: Results
    record: Record
    label: str | None
    fit: Fit
    background: str


class _Item(NamedTuple):
    """One result to be made: its name, the image that it is made of, and its class."""

    name: str
    given: Input
    label: str | None
    row: Row


def run(job: Job, batch: int) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Make all results; give each file that was written, and what --json tells of it.

    An input that cannot be read fails alone.
    """
    failures = Failures(len(job.wanted.sources))
    total = sum(len(job.results.missing(source.name)) for source in job.wanted.named)
    items = _items(job, failures)
    with console.progress(total, "images") as bar:
        while rows := list(islice(items, batch)):
            made = job.upscaler([item.row for item in rows])
            if made is None:
                return
            for item, image, error in zip(rows, made.images, made.errors, strict=True):
                yield from _written(job, item, image, error)
            bar.advance(len(rows))
    failures.finish()


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
    config, info = job.upscaler.config, job.upscaler.info
    given = inputs.read(source, job.upscaler.operator.shape, job.fit, job.background)
    label = upscale.class_of(job.label, given.record, config, info)
    number, stage = classes.one(label, config, info), upscale.stage_after(given.record)
    return [
        _Item(name, given, label, Row(given.image, seed, number, noise, stage))
        for name, noise, seed in left
    ]


def _written(
    job: Job, item: _Item, image: Tensor, error: float
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Write one result, and give what there is to say of it."""
    row, name, label = item.row, item.given.name, item.label
    noisy = ["--aug-noise", f"{row.noise:g}"] if row.noise else []
    record = {
        **job.record,
        "inputs": [name],
        "classes": None if label is None else [label],
        "stage": row.stage,
        "error": round(error, 3),
    }
    if arguments := [*job.record.get("arguments", ()), *noisy]:
        record["arguments"] = arguments
    task = job.upscaler.config["operator"]["name"]
    if job.upscaler.exact and error > WRONG:
        console.warn(
            f"{name}: no image is just this when {AGAIN[task]} again; "
            f"the result of seed {row.seed} differs by {error:.0f} levels"
        )
    picture = inputs.grown(item.given, image, colourful=task == "colorize")
    said = {"input": name, "seed": row.seed, "class": label, "noise": row.noise}
    for path in job.results.add(item.name, row.seed, picture, record):
        yield path, {"path": str(path), **said, "error": record["error"]}
