"""Rows of numbers to latents, for `ddpm encode`: as tables come, and back by `ddpm sample`."""

from collections.abc import Sequence
from functools import reduce
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from ddpm_cli import console
from ddpm_cli.data import given_rows
from ddpm_cli.data.given_rows import Given
from ddpm_cli.diffusion import latents
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.errors import many
from ddpm_cli.failures import Failures
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images.inputs import Source
from ddpm_cli.files.outputs import targets
from ddpm_cli.models import memory, model, walks
from ddpm_cli.pipelines import encode, given, inversion, lines, opening
from ddpm_cli.pipelines.encode import Work
from ddpm_cli.pipelines.inversion import Coder
from ddpm_cli.pipelines.lines import Spent, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import shards
from ddpm_cli.settings.request_parts import Use
from ddpm_cli.settings.requests import Encode


def run(request: Encode, opened: Opened) -> None:
    """Encode the rows of the files that a request names."""
    given.refuse_pictures(request.use, request.look)
    use, every = request.use, given_rows.sources(request.inputs, opened.header.data)
    request, sources = encode.of_shard(request, every)
    targets.refuse_existing(request.output, use.force)
    work, info = encode.planned(request, opened), opened.header.data
    ready = _read(sources[0], info, use) if len(sources) == 1 and not use.dry_run else None
    shards.say(use.shard, len(sources), len(every), "files")
    console.say(f"{many(len(sources), 'files')}, {work.price}")
    if use.dry_run:
        opening.shown(work.opened.config)
        return
    if sources:
        _encode(request, work, sources, ready)


def _read(source: Source, info: DataInfo, use: Use) -> Given:
    """The rows of a file, none of which may have a gap; latents keep no class of each."""
    found = given.whole(given_rows.read(source, info), info, use)
    if found.labels is not None and info.classes and use.label is None:
        what = f"{source.name}: latents do not keep the class of each row"
        console.warn(f"{what}; ddpm sample --from writes none as {info.columns.label}")
    return found


def _encode(
    request: Encode, work: Work, sources: Sequence[Source], ready: Given | None = None
) -> None:
    """Encode file by file, report each, and write all latents to one file.

    ready: the only one, if it is read already.
    """
    info, failures = work.opened.header.data, Failures(len(sources))
    files = failures.passing(lambda one: ready or _read(one, info, request.use), sources)
    parts, names, took, back = list[Tensor](), list[str](), list[Spent](), list[float]()
    with console.progress(None if work.calls is None else 0, "network calls") as bar:
        coder, laps = _coder(request, work, bar), Watch(bar)
        for file in files:
            bar.expect((work.calls or 0) * len(file.values))
            encoded = _encoded(request, work, coder, file, len(names))
            if encoded is None:
                return
            z, apart = encoded
            parts.append(z)
            names += [file.called(row) for row in range(len(z))]
            spent = reduce(Spent.plus, laps.lap([1] * len(z)), Spent())
            took.append(spent)
            _report(work, request, file, apart, spent)
            back += [] if apart is None else [apart]
            bar.advance(0, note=many(len(names), "rows"))
    if names:
        encode.save(request, work, torch.cat(parts), names, {"inputs": [s.name for s in sources]})
        seeds = range(request.seed, request.seed + len(names))
        own: dict[str, Any] = {"seed": None} if work.sigma is None else lines.seeded(seeds)
        own |= work.asked.named
        work.lines.tell(request.output, reduce(Spent.plus, took), **own)
        inversion.warn_of_rows(work.opened.config, back)
    failures.finish()


def _coder(request: Encode, work: Work, bar: console.Progress) -> Coder | None:
    """The model and its way, if rows walk; noise is added without a network."""
    if work.sigma is not None:
        return None
    drawer = model.opened(work.opened.place, work.opened.config)
    memory.refuse_large(drawer, request.use.size)
    return Coder.of(drawer.counting(bar.advance))


def _encoded(
    request: Encode, work: Work, coder: Coder | None, file: Given, first: int
) -> tuple[Tensor, float | None] | None:
    """Latents [N, ...] of a file, and how far its rows are from what comes back, in deviations.

    first: how many rows came before, as each has a seed of its own.
    """
    info, parts, apart = work.opened.header.data, list[Tensor](), 0.0
    rows = given.of_file(file)
    while some := list(islice(rows, request.use.size)):
        x0 = given.seen(some, info)
        seeds = [request.seed + first + row.at for row in some]
        if coder is None or work.sigma is not None:
            if work.sigma is None:
                raise ValueError("no way to walk")
            randomness = Randomness(work.opened.config["compute"]["rng"])
            x = latents.noised(x0, work.sigma, inversion.noise(seeds, randomness))
            parts.append(latents.unit(work.schedule, x, work.sigma))
            continue
        told = work.asked.conditions(seeds), work.asked.against(seeds)
        z = coder.encode(x0, *told)
        if z is None:
            return None
        walks.refuse_not_finite(z, "values that are not finite", "more --steps")
        if request.is_checked:
            again = coder.decode(z, *told)
            if again is None:
                return None
            apart = max(apart, float((again.cpu() - x0).abs().max()))
        parts.append(z.cpu())
    return torch.cat(parts), apart if coder is not None and request.is_checked else None


def _report(work: Work, request: Encode, file: Given, apart: float | None, spent: Spent) -> None:
    """Print how close the rows of a file came back."""
    if apart is None:
        return
    name, count = file.source.name, len(file.values)
    if request.use.as_json:
        own = {"input": name, "rows": count, "largest": apart, "path": None, "seed": None}
        work.lines.row({**own, **work.asked.named}, spent)
    else:
        console.line(f"{name}  {many(count, 'rows')}, back to within {apart:.2g} deviations")
