"""`ddpm eval`: how samples compare with a reference, told with all that decides the figure."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ddpm_cli import console, hardware
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.evaluation.evidence import Evidence
from ddpm_cli.evaluation.extractor import Extractor
from ddpm_cli.files.outputs import targets
from ddpm_cli.pipelines import eval_drawing, eval_features, eval_figures, eval_floor, eval_report
from ddpm_cli.pipelines import eval_sides as sides
from ddpm_cli.pipelines import eval_statistics as stored
from ddpm_cli.pipelines.eval_evidence import gathered, numbering, prospect
from ddpm_cli.pipelines.eval_figures import Figures
from ddpm_cli.pipelines.eval_sides import Side
from ddpm_cli.pipelines.eval_words import Settled, Word
from ddpm_cli.settings import shards
from ddpm_cli.settings.config import resolve
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.protocols import Protocol


class Work(NamedTuple):
    """What is compared: runs of samples (one or several), and how.

    left_out: metrics that cannot be told of these sides, and why.
    """

    request: Eval
    protocol: Protocol
    extractor: Extractor
    reference: Side
    runs: Sequence[Side]
    train: Side | None
    left_out: dict[str, str]


class Beside(NamedTuple):
    """What samples are compared with: the reference, and what the model was trained on."""

    reference: Evidence
    train: Evidence | None


def run(request: Eval, settled: Settled) -> None:
    """Compare what a request names, and print what comes of it."""
    if request.statistics is not None:
        targets.refuse_existing(request.statistics, request.use.force, "--write-stats")
    shard = request.use.shard
    if shard is not None and (settled.samples is None or settled.samples.opened is None):
        what = "--shard: of the --blocks that a model draws"
        raise ConfigError(f"{what}; a part of files has another distance; leave it out")
    work = planned(request, settled)
    if shard is not None and not work.runs:
        return
    say(work)
    if request.use.dry_run:
        counted = work.runs[0] if work.runs else work.reference
        eval_report.plan(work.protocol, work.extractor, counted.count)
        return
    began = time.monotonic()
    work = hashed(work)
    others = beside(work)
    if others is None:
        return
    if request.statistics is not None:
        path = written(work, others, request.statistics)
        console.line(str(path)) if not work.runs else console.say(f"statistics: {path}")
    if work.runs:
        result = compared(work, others)
        if result is not None:
            eval_report.told(result | {"seconds": round(time.monotonic() - began, 1)}, request)


def planned(request: Eval, settled: Settled, drawn: Sequence[Side] = ()) -> Work:
    """The sides, what sees them, and what is told of them; what cannot be is refused here.

    drawn: the runs of samples, if they are known.
    """
    config = resolve([layer for layer in request.use.layers if "compute" in layer.values])
    device = hardware.compute(**config["compute"]).device
    protocol, code = settled.protocol, request.code
    for word in filter(None, (settled.reference, settled.samples)):
        if word.kind == "statistics":
            stored.refuse_other_protocol(word.text, protocol, request.use.force)
    extractor = eval_features.extractor(protocol.features, code, device)
    reference = _side(settled.reference, request, extractor)
    train = _side(settled.train, request, extractor) if settled.train else None
    runs = drawn
    if request.floor:
        reference, samples = eval_floor.halves(settled.reference, reference, request, extractor)
        runs = [samples]
    elif settled.samples is not None and not drawn:
        runs = _runs(settled.samples, protocol, request, extractor)
    elif request.statistics is None and not drawn:
        raise ConfigError("SAMPLES: compare what? Give a folder, a file or a model, or --floor")
    for side in (reference, *runs[:1]):
        stored.refuse_unlike(side, extractor, request.use.force)
    left_out = dict[str, str]()
    if runs:
        prospects = _prospects(runs[0], reference, train, extractor)
        is_asked = bool(request.metrics) or not request.protocol
        protocol, left_out = eval_figures.possible(protocol, prospects, is_asked)
    return Work(request, protocol, extractor, reference, runs, train, left_out)


def _prospects(
    samples: Side, reference: Side, train: Side | None, extractor: Extractor
) -> dict[str, Evidence | None]:
    return {
        "samples": prospect(samples, extractor),
        "reference": prospect(reference, extractor),
        "train": prospect(train, extractor) if train else None,
    }


def _side(word: Word, request: Eval, extractor: Extractor) -> Side:
    """A side that is no model's, or the samples of the model that is the reference."""
    if word.opened is None:
        stands = sides.stored(word.text, word.kind, request.use.layers, extractor.mode)
        return sides.with_whole(stands)
    count = request.count or 10_000
    seeds = range(request.seed + count, request.seed + 2 * count)  # others than the samples'
    return eval_drawing.side(word.text, word.opened, request.use, seeds)


def starts(protocol: Protocol, request: Eval) -> list[range]:
    """The seeds of each run of a model."""
    count, first = request.count or protocol.n, request.seed
    return [
        range(start, start + count)
        for start in range(first, first + protocol.blocks * count, count)
    ]


def _runs(word: Word, protocol: Protocol, request: Eval, extractor: Extractor) -> list[Side]:
    """The samples: of a model as many runs as there are blocks, each of fresh seeds."""
    if word.opened is None:
        if request.blocks is not None and request.blocks > 1:
            raise ConfigError("--blocks: of a model, which can draw more; leave it out")
        whole = sides.stored(word.text, word.kind, request.use.layers, extractor.mode)
        return [sides.some(whole, request.count, "samples", request.seed)]
    every = starts(protocol, request)
    seeds = shards.part(every, 1, request.use.shard)
    shards.say(request.use.shard, len(seeds), len(every), "blocks")
    return [eval_drawing.side(word.text, word.opened, request.use, some) for some in seeds]


def hashed(work: Work) -> Work:
    """The same sides, with the hashes of their images."""
    size = work.request.use.size
    runs = [sides.hashed(run, size) for run in work.runs]
    train = sides.hashed(work.train, size) if work.train else None
    return work._replace(reference=sides.hashed(work.reference, size), runs=runs, train=train)


def say(work: Work) -> None:
    """Tell what will be compared."""
    for run in work.runs[:1]:
        times = f"{len(work.runs)} times " if len(work.runs) > 1 else ""
        console.say(f"{times}{run.count} images against {work.reference.name}")
    console.say(f"features {work.extractor.name}, resize {work.extractor.resize}")


def _parts(work: Work, side: str) -> set[str]:
    return eval_figures.wanted(work.protocol)[side]


def _names(work: Work) -> tuple[str, ...] | None:
    first = work.runs[0] if work.runs else work.reference
    return numbering(first, work.reference, work.extractor)


def beside(work: Work) -> Beside | None:
    """What samples are compared with, seen once; None if the process was asked to stop."""
    size, names, train = work.request.use.size, _names(work), None
    reference = stored.reference(
        work.reference, work.extractor, _parts(work, "reference"), names, size
    )
    if work.train is not None and _parts(work, "train"):
        train = gathered(work.train, work.extractor, _parts(work, "train"), names, size)
        if train is None:
            return None
    return None if reference is None else Beside(reference, train)


def written(work: Work, others: Beside, path: Path) -> Path:
    """Write the statistics of the reference; return where they are."""
    about = {"protocol": work.protocol.name}
    stored.write(path, work.reference, others.reference, work.extractor, about)
    return path


def compared(work: Work, others: Beside) -> dict[str, Any] | None:
    """Go through the samples, and say what the metrics say; None if it was asked to stop."""
    size, names = work.request.use.size, _names(work)
    evidence = []
    for run in work.runs:
        seen = gathered(run, work.extractor, _parts(work, "samples"), names, size)
        if seen is None:
            return None
        evidence.append(seen)
    with torch.inference_mode(False):
        figures = Figures(work.protocol, others.reference, others.train)
        table = figures(evidence)
    if not table:
        raise Refusal("no metric can be told of these sides", *list(work.left_out.values())[:1])
    return eval_report.result(
        work.request,
        work.protocol,
        work.extractor,
        work.runs,
        work.reference,
        table,
        work.left_out,
        figures.notes,
    )
