"""`ddpm eval`: how samples compare with a reference, told with all that decides the figure."""

import time
from collections.abc import Sequence
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
from ddpm_cli.settings.protocols import Protocol
from ddpm_cli.settings.requests import Eval


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


def run(request: Eval, settled: Settled) -> None:
    """Compare what a request names, and print what comes of it."""
    if request.statistics is not None:
        targets.refuse_existing(request.statistics, request.use.force, "--write-stats")
    shard = request.use.shard
    if shard is not None and (settled.samples is None or settled.samples.opened is None):
        what = "--shard: of the --blocks that a model draws"
        raise ConfigError(f"{what}; a part of files has another distance; leave it out")
    work = _planned(request, settled)
    if shard is not None and not work.runs:
        return
    _say(work)
    if request.use.dry_run:
        eval_report.plan(work.protocol, work.extractor)
        return
    began = time.monotonic()
    work = _hashed(work)
    reference = stored.reference(
        work.reference,
        work.extractor,
        _parts(work, "reference"),
        _names(work),
        request.use.size,
    )
    if reference is None:
        return
    if request.statistics is not None:
        about = {"protocol": work.protocol.name}
        stored.write(request.statistics, work.reference, reference, work.extractor, about)
        console.line(str(request.statistics)) if not work.runs else console.say(
            f"statistics: {request.statistics}"
        )
    if work.runs:
        result = _compared(work, reference)
        if result is not None:
            eval_report.told(result | {"seconds": round(time.monotonic() - began, 1)}, request)


def _planned(request: Eval, settled: Settled) -> Work:
    """The sides, what sees them, and what is told of them; what cannot be is refused here."""
    config = resolve([layer for layer in request.use.layers if "compute" in layer.values])
    device = hardware.compute(**config["compute"]).device
    protocol, code = settled.protocol, request.code
    for word in filter(None, (settled.reference, settled.samples)):
        if word.kind == "statistics":
            stored.refuse_other_protocol(word.text, protocol, request.use.force)
    extractor = eval_features.extractor(protocol.features, code, device)
    reference = _side(settled.reference, request, extractor)
    train = _side(settled.train, request, extractor) if settled.train else None
    runs: Sequence[Side] = ()
    if request.floor:
        reference, samples = eval_floor.halves(settled.reference, reference, request, extractor)
        runs = [samples]
    elif settled.samples is not None:
        runs = _runs(settled.samples, protocol, request, extractor)
    elif request.statistics is None:
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


def _runs(word: Word, protocol: Protocol, request: Eval, extractor: Extractor) -> list[Side]:
    """The samples: of a model as many runs as there are blocks, each of fresh seeds."""
    if word.opened is None:
        if request.blocks is not None and request.blocks > 1:
            raise ConfigError("--blocks: of a model, which can draw more; leave it out")
        whole = sides.stored(word.text, word.kind, request.use.layers, extractor.mode)
        return [sides.some(whole, request.count, "samples", request.seed)]
    count = request.count or protocol.n
    first = request.seed
    every = range(first, first + protocol.blocks * count, count)
    starts = shards.part(every, 1, request.use.shard)
    shards.say(request.use.shard, len(starts), len(every), "blocks")
    seeds = [range(start, start + count) for start in starts]
    return [eval_drawing.side(word.text, word.opened, request.use, some) for some in seeds]


def _hashed(work: Work) -> Work:
    """The same sides, with the hashes of their images."""
    size = work.request.use.size
    runs = [sides.hashed(run, size) for run in work.runs]
    train = sides.hashed(work.train, size) if work.train else None
    return work._replace(reference=sides.hashed(work.reference, size), runs=runs, train=train)


def _say(work: Work) -> None:
    for run in work.runs[:1]:
        times = f"{len(work.runs)} times " if len(work.runs) > 1 else ""
        console.say(f"{times}{run.count} images against {work.reference.name}")
    console.say(f"features {work.extractor.name}, resize {work.extractor.resize}")


def _parts(work: Work, side: str) -> set[str]:
    return eval_figures.wanted(work.protocol)[side]


def _names(work: Work) -> tuple[str, ...] | None:
    first = work.runs[0] if work.runs else work.reference
    return numbering(first, work.reference, work.extractor)


def _compared(work: Work, reference: Evidence) -> dict[str, Any] | None:
    """Go through the samples, and say what the metrics say."""
    size, names = work.request.use.size, _names(work)
    train = None
    if work.train is not None and _parts(work, "train"):
        train = gathered(work.train, work.extractor, _parts(work, "train"), names, size)
        if train is None:
            return None
    evidence = []
    for run in work.runs:
        seen = gathered(run, work.extractor, _parts(work, "samples"), names, size)
        if seen is None:
            return None
        evidence.append(seen)
    with torch.inference_mode(False):
        figures = Figures(work.protocol, reference, train)
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
