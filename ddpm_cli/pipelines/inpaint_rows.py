"""Gaps in rows of numbers, filled for `ddpm inpaint`: imputation, forecasts, plans."""

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ddpm_cli import console
from ddpm_cli.data import given_rows, row_masks
from ddpm_cli.data.given_rows import Given, Sheet
from ddpm_cli.errors import ConfigError, Refusal, many
from ddpm_cli.failures import Failures
from ddpm_cli.files import row_places
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs import row_files
from ddpm_cli.files.outputs.row_files import RowFile
from ddpm_cli.files.records import compact
from ddpm_cli.models import classes, cost, memory, model
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.model import Model
from ddpm_cli.pipelines import (
    editing,
    inpaint,
    lines,
    opening,
    opening_inpaint,
    row_filling,
    steering,
)
from ddpm_cli.pipelines import given as rows_given
from ddpm_cli.pipelines.lines import Lines, Spent, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.row_filling import Known, RowFiller
from ddpm_cli.settings import shards
from ddpm_cli.settings.layouts import USUAL
from ddpm_cli.settings.request_parts import Look
from ddpm_cli.settings.requests import Inpaint


class Work(NamedTuple):
    """What to do with each file; calls: of a row; steering: the guides of its walks."""

    request: Inpaint
    opened: Opened
    asked: Asked
    steering: steering.Steering
    calls: int | None
    lines: Lines

    @property
    def info(self) -> DataInfo:
        """What the model was trained on."""
        return self.opened.header.data

    @property
    def label(self) -> str | None:
        """The class of all rows, if --class names one."""
        return self.asked.label if self.request.use.label is not None else None

    def read(self, source: Source) -> Given:
        """The rows of a file, without what the mask takes out."""
        places = self.request.mask
        given = given_rows.read(source, self.info, row_masks.named(places, self.info))
        try:
            anew = row_masks.mask(places, self.info, given)
        except ConfigError as problem:
            if len(self.request.inputs) == 1 and not Path(self.request.inputs[0]).is_dir():
                raise
            raise Refusal(f"{source.name}: {problem}") from None  # others may have such places
        left = given._replace(values=given.values.masked_fill(anew, float("nan")))
        return rows_given.near(left, self.info)


def run(request: Inpaint, opened: Opened) -> None:
    """Fill the gaps of the files that a request names with a model and its settings."""
    _refuse_idle(request)
    use, info = request.use, opened.header.data
    sources = given_rows.sources(request.inputs, info)
    seeds = request.seeds.numbers()
    row_masks.refuse_unknown(request.mask, info)
    work, price = _planned(request, opened)
    plan = f"{many(len(sources), 'files')}, {price}"
    if use.dry_run:
        console.say(plan)
        opening.shown(work.opened.config)
        return
    files, skipped = row_files.planned(
        request.output,
        sources,
        seeds,
        default="inpainted",
        force=use.force,
        skip_existing=request.skip_existing,
        shard=use.shard,
        is_table=len(info.row) == 1,
    )
    # A single file that cannot be read is refused before anything is said or done.
    ready = {file.name: work.read(sources[0]) for file in files} if len(sources) == 1 else {}
    shards.say(use.shard, len(files), len(files) + len(skipped), "files")
    console.say(plan)
    for path, name, made in skipped:
        work.lines.skip(path, input=name, **{"class": work.label}, **lines.seeded(made))
    if files:
        _fill(work, files, {source.name: source for source in sources}, ready)
    if request.skip_existing:
        lines.say_skipped(len(files), len(skipped))


def _refuse_idle(request: Inpaint) -> None:
    """Refuse options that are about pictures."""
    given = {
        "--extend": request.extend is not None,
        "--panorama": request.panorama is not None,
        "--mask-keeps": request.keeps != "auto",
        "--threshold": request.threshold != 0.5,
        "--fit, --background": request.look != Look(),
        "--columns, --zoom, --labels": request.layout != USUAL,
        "data.range": request.use.range is not None,
        "--check": request.checks,
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise ConfigError(f"{name}: of images, and this model makes rows; leave it out")


def _planned(request: Inpaint, opened: Opened) -> tuple[Work, str]:
    """What is asked for, and its price in words; what makes no sense is refused."""
    opened, schedule = editing.sized(request, opened)
    place, header, config = opened
    found = inpaint.told_of(request, opened, schedule)
    config = found.config
    each = cost.plan(config, schedule, is_steered=steering.goes_back(config))
    price = f"{many(each.moves, 'steps')}, {each.words('a row')}"
    if opening_inpaint.is_joint(config, header):
        price += ", and in each a gradient for each value that is known"
    told = Lines.of_walk(request.use.as_json, place.name, header, config, each.moves)
    opened = opened._replace(config=config)
    price += steering.described(config)
    return Work(request, opened, found.asked, found, each.calls, told), price


def _fill(
    work: Work,
    files: Sequence[RowFile],
    sources: Mapping[str, Source],
    ready: Mapping[str, Given],
) -> None:
    """Fill and write file by file; ready: those that are read already."""
    place, header, config = work.opened
    core = model.opened(place, config)
    joint = opening_inpaint.is_joint(config, header)
    is_traced = joint or steering.goes_back(config)
    memory.refuse_large(core, work.request.use.size, is_traced=is_traced)
    complete = work.steering.load(core.compute)
    failures = Failures(len(files))
    with console.progress(None if work.calls is None else 0, "network calls") as bar:
        laps = Watch(bar)
        core = core.counting(bar.advance, laps.differentiated)
        filler = RowFiller(core, core.prepared(), work.asked, joint, complete)
        for file in files:
            with failures.caught():
                given = ready.get(file.name) or work.read(sources[file.name])
                rows = row_filling.known(given, core, work.request.use.label)
                _say_gaps(given, len(rows.lacking.x))
                _refuse_names(given, file)
                bar.expect((work.calls or 0) * len(rows.lacking.x) * len(file.seeds))
                filled = _drawn(work, filler, rows, given, file, bar)
                if filled is None:
                    return
                spent = reduce(Spent.plus, laps.lap([1] * len(rows.x)), Spent())
                for path in row_files.write(file, content(filled, file), work.request.use.force):
                    work.lines.tell(path, spent, **_about(work, given, file))
    failures.finish()


def _drawn(
    work: Work,
    filler: RowFiller,
    rows: Known,
    given: Given,
    file: RowFile,
    bar: console.Progress,
) -> list[Given] | None:
    """The file as it is filled for each seed; None if the process should stop."""
    filled, done = list[Given](), [0]

    def told(count: int) -> None:
        done[0] += count
        bar.advance(0, note=many(done[0], "rows"))

    for seed in file.seeds:
        x = row_filling.every(filler, rows, seed, work.request.use.size, told)
        if x is None:
            return None
        filled.append(given.filled(work.info.finished(x), work.info, file.suffix))
    return filled


def _say_gaps(given: Given, lacking: int) -> None:
    """Say how much is made anew."""
    name, gaps = given.source.name, given.values.isnan()
    rows_given.say_unclassed(given)
    if not lacking:
        console.warn(f"{name}: no value is missing or masked, so that none is made anew")
        return
    share, where = float(gaps.double().mean()), f"{lacking} of {many(len(gaps), 'rows')}"
    console.say(f"{name}: {share:.1%} of the values are made anew, in {where}")


def _refuse_names(given: Given, file: RowFile) -> None:
    """Refuse a table that has columns by which rows of several seeds are told apart."""
    names = given.sheet.names if given.sheet else None
    own = _own(file)
    if len(file.seeds) > 1 and file.suffix == ".csv" and names and {*own} & {*names}:
        clash = next(name for name in own if name in names)
        fix = "put {seed} into the name of -o, for a file each"
        raise Refusal(f"{given.source.name}: it has a column {clash}", fix)


def _own(file: RowFile) -> tuple[str, str]:
    """The columns by which rows of several seeds are told apart."""
    return "seed", row_places.noun(file.name)


def content(filled: Sequence[Given], file: RowFile) -> Any:
    """Text of a .csv file, or an array; several seeds one below the other, or stacked in front."""
    if file.suffix != ".csv":
        arrays = [given.array for given in filled]
        return arrays[0] if len(arrays) == 1 else np.stack(arrays)
    sheets = [given.sheet for given in filled if given.sheet is not None]
    if len(sheets) == 1:
        return sheets[0].text()
    first, rows = sheets[0], list[list[str]]()
    for seed, sheet in zip(file.seeds, sheets, strict=True):
        pairs = zip(filled[0].numbers, sheet.rows, strict=True)
        rows += [[str(seed), str(number), *row] for number, row in pairs]
    names = None if first.names is None else [*_own(file), *first.names]
    return Sheet(names, rows, [], first.mark, first.end).text()


def _about(work: Work, given: Given, file: RowFile) -> dict[str, Any]:
    """What a line says of a file."""
    gaps = given.values.isnan()
    label = work.label
    if label is None and given.labels is not None and work.info.classes:
        label = classes.OWN
    seeds = lines.seeded(file.seeds) | ({"seeds": compact(file.seeds)} if file.seeds[1:] else {})
    share = round(float(gaps.double().mean()), 6)
    about = {"input": file.name, "class": label, "anew": share, "rows": len(gaps)}
    return {**seeds, **about, **work.asked.record}


def drawer(core: Model, asked: Asked) -> RowFiller:
    """What fills rows of a model as its settings say, for the Python API."""
    return RowFiller(
        core, core.prepared(), asked, opening_inpaint.is_joint(core.config, core.header)
    )
