"""`ddpm eval --sweep`: quality, diversity and cost of a model in every cell of a product of lists.

All cells draw from the same seeds, so from the same noise; model and reference are read once.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ddpm_cli import __version__, console, hardware, signals
from ddpm_cli.errors import PartialFailure, Refusal
from ddpm_cli.files.outputs import curves, tables, tradeoffs
from ddpm_cli.files.records import compact
from ddpm_cli.pipelines import eval as evaluation
from ddpm_cli.pipelines import sweep_report
from ddpm_cli.pipelines.eval import Beside, Work
from ddpm_cli.pipelines.eval_drawing import Drawing
from ddpm_cli.pipelines.eval_sides import Batch, Side
from ddpm_cli.pipelines.sweep_cells import Loader, Planned, Ready, ready
from ddpm_cli.pipelines.sweep_table import COMMON, ERROR, OWN, Row, Table, figures, number
from ddpm_cli.settings import shards, sweeps
from ddpm_cli.settings.eval_requests import Eval
from ddpm_cli.settings.protocols import NONE
from ddpm_cli.settings.toml import toml_value

HASH = 16  # digits


class Clock:
    """Times the batches of a cell, and counts its network calls."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._seconds: list[tuple[int, float]] = []
        self.calls = 0

    def timed(self, drawing: Drawing) -> Side:
        """The samples of a drawing, timed while they are drawn; a first step warms up."""

        def batches(size: int) -> Iterator[Batch]:
            drawing.step(size)
            before, source = self._loader.calls, drawing.batches(size)
            while True:
                began = time.perf_counter()
                batch = next(source, None)
                if batch is None:
                    self.calls += self._loader.calls - before
                    return
                batch[0].flatten()[:1].tolist()  # waits for the device
                self._seconds.append((len(batch[0]), time.perf_counter() - began))
                yield batch

        return replace(drawing.side, batches=batches)

    @property
    def seconds(self) -> float:
        """Seconds an image: the median over whole batches."""
        size = max(rows for rows, _ in self._seconds)
        return statistics.median(passed / rows for rows, passed in self._seconds if rows == size)


def run(request: Eval, planned: Sequence[Planned]) -> None:
    """Measure every cell that the table lacks, and print the table; of a shard its cells."""
    path, force, shard = request.output, request.use.force, request.use.shard
    count, planned = len(planned), shards.part(planned, 1, shard)
    shards.say(shard, len(planned), count, "cells")
    if not planned:
        return
    if path is not None:
        path = Path(shards.place(str(path), shard))
    if path is not None:
        tables.refuse(path)
    if request.plot is not None:
        is_going_on = path is not None and path.exists()
        curves.refuse(request.plot, "--plot", curves.PICTURES, force or is_going_on)
    loader = Loader()
    cells = [ready(one, loader) for one in planned]
    is_written = path is not None and not request.use.dry_run
    with tables.held(path) if path is not None and is_written else nullcontext():
        table = Table(path, request.sweep, force)
        rows = _measured(request, cells, table, loader)
    if request.use.dry_run or signals.requested():
        return
    if request.plot is not None and any(row["reason"] is None for row in rows):
        keys = [axis.key for axis in request.sweep]
        tradeoffs.plot(request.plot, rows, keys, figures(rows))
        console.say(f"plot: {request.plot}")
    if not request.use.as_json:
        console.result(sweep_report.text(request.sweep, rows))
    if failed := [row for row in rows if row["reason"] is not None]:
        what = f"{len(failed)} of {len(rows)} cells could not be measured"
        why = f"{sweep_report.words(request.sweep, failed[0])}: {failed[0]['reason']}"
        raise (Refusal if len(failed) == len(rows) else PartialFailure)(what, why)


def _measured(request: Eval, cells: Sequence[Ready], table: Table, loader: Loader) -> list[Row]:
    """The rows of all cells, in their order; fewer if the process was asked to stop."""
    first = next((one for one in cells if one.runs), None)
    if first is None or first.settled is None:
        return [_failed(one, {}, one.reason, table, request) for one in cells]
    work = evaluation.planned(first.request, first.settled, [run.side for run in first.runs])
    evaluation.say(work)
    work = evaluation.hashed(work)
    common = _common(request, work)
    table.refuse_others(common)
    kept = [table.kept(one.cell, _own(one)) if one.runs else None for one in cells]
    if request.use.dry_run:
        sweep_report.plan(request, cells, kept)
        return []
    left = [one for one, row in zip(cells, kept, strict=True) if one.runs and row is None]
    others = evaluation.beside(work) if left else None
    if left and others is None:
        return []
    pace = sweep_report.Pace(cells, left, _speed(left[0], loader) if left else 0.0)
    rows = []
    for one, known in zip(cells, kept, strict=True):
        if known is not None:
            rows.append(known)
            sweep_report.row(request, known, skipped=True)
        elif not one.runs:
            rows.append(_failed(one, common, one.reason, table, request))
        else:
            row = _cell(one, work, others, loader, common)
            if row is None:
                return rows
            table.add(row)
            rows.append(row)
            sweep_report.row(request, row)
            pace.done(one, request.sweep, row)
    return rows


def _cell(
    one: Ready, work: Work, others: Beside | None, loader: Loader, common: Mapping[str, Any]
) -> Row | None:
    """Measure a cell; what goes wrong in it alone is its reason. None if asked to stop."""
    assert others is not None  # noqa: S101
    clock = Clock(loader)
    runs = [clock.timed(run) for run in one.runs]
    facts = {**common, **_own(one), **_machine(one)}
    try:
        result = evaluation.compared(work._replace(request=one.request, runs=runs), others)
    except Refusal as refusal:
        reason = "; ".join(refusal.message.splitlines())
        console.warn(f"{one.cell.words}: {reason}")
        return {**one.cell.key, **facts, "reason": reason}
    if result is None:
        return None
    told: Row = {}
    for name, figure in result["metrics"].items():
        told |= {name: number(figure["value"]), name + ERROR: number(figure.get("error"))}
    images = sum(len(run.seeds) for run in one.runs)
    calls = round(clock.calls / images, 1) if one.calls is None else one.calls
    cost = {"network_calls": calls, "seconds_per_image": float(f"{clock.seconds:.4g}")}
    return {**one.cell.key, **told, **cost, **facts, "reason": None}


def _failed(
    one: Ready, common: Mapping[str, Any], reason: str, table: Table, request: Eval
) -> Row:
    """The row of a cell that cannot be."""
    row: Row = {**one.cell.key, **common, "reason": reason}
    if not request.use.dry_run:
        table.add(row)
        sweep_report.row(request, row)
    return row


def _speed(one: Ready, loader: Loader) -> float:
    """Seconds of a network call for an image, from a first step that is taken twice."""
    size = one.request.use.size
    one.runs[0].step(size)
    before, began = loader.calls, time.perf_counter()
    one.runs[0].step(size)
    return (time.perf_counter() - began) / max(1, loader.calls - before)


def _common(request: Eval, work: Work) -> dict[str, Any]:
    """What all rows of a table must have in common."""
    samples, reference = work.runs[0], work.reference.record
    features, protocol = work.extractor.record, work.protocol
    fixed = {
        "model": samples.name,
        "model_hash": str(samples.facts["hash"])[:HASH],
        "protocol": protocol.name,
        "features": f"{features['name']} {features['hash']}",
        "reference": f"{reference['name']} {reference.get('hash', '')}".strip(),
        "n": samples.count,
        "class": request.use.label,
        "settings": sweeps.told(request.use.layers, request.use.calls) or None,
    }
    if protocol.name == NONE:
        fixed["protocol"] = f"{NONE}: {', '.join(map(_metric, protocol.metrics))}"
    return {name: fixed[name] for name in COMMON}


def _metric(settings: Mapping[str, Any]) -> str:
    """A metric as --metric names it."""
    knobs = ",".join(f"{k}={toml_value(v)}" for k, v in settings.items() if k != "name")
    return f"{settings['name']}:{knobs}" if knobs else str(settings["name"])


def _own(one: Ready) -> dict[str, Any]:
    """What a row of this cell must have, by itself."""
    seeds = [seed for run in one.runs for seed in run.seeds]
    own = {"seeds": compact(seeds), "dtype": str(_compute(one).dtype).removeprefix("torch.")}
    return {name: own[name] for name in OWN}


def _machine(one: Ready) -> dict[str, Any]:
    """Where seconds are from, and the versions."""
    device = str(_compute(one).device)
    if device == "cpu":
        device = f"cpu, {torch.get_num_threads()} threads"
    return {"device": device, "ddpm": __version__, "torch": str(torch.__version__)}


def _compute(one: Ready) -> hardware.Compute:
    return hardware.compute(**one.runs[0].config["compute"])
