"""Drawing samples, for `ddpm sample` and `ddpm guide`: what to draw, and the work."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files.checkpoints import latents as latents_file
from ddpm_cli.files.checkpoints.header import DataInfo
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.outputs import samples, targets
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory
from ddpm_cli.files.records import Names, Record, compact
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, cost, memory, model, walks
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Chunk, Start
from ddpm_cli.pipelines import cascade, opening, starts
from ddpm_cli.pipelines.cascade import Cascade, Loaded
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.settings import checks
from ddpm_cli.settings.config import Config
from ddpm_cli.settings.requests import Draw, Sample, Seeds, Use
from ddpm_cli.settings.seeds import LIMIT
from ddpm_cli.training import distributed

Steer = Callable[[Batch], Batch]


class Labels(NamedTuple):
    """The class of each seed: the one that --class names, what the network is told, its name."""

    label: str | None
    numbers: Callable[[Sequence[int]], list[int] | None]
    names: Names

    @classmethod
    def of(cls, label: str | None, config: Config, info: DataInfo) -> "Labels":
        """Those of a model alone; an unknown class is refused."""
        classes.numbers(label, [], config, info)
        return cls(
            label,
            lambda seeds: classes.numbers(label, seeds, config, info),
            lambda seeds: classes.names(label, config, info, seeds),
        )


class Work(NamedTuple):
    """What to draw: with which model and settings, from where, of which seeds and classes.

    verb: the command that makes it again; steer: once it is known where to compute, what
    completes each batch; judges: the hashes of what it loads; given: the scale of its image.
    """

    verb: str
    use: Use
    draw: Draw
    opened: Opened
    schedule: Schedule
    seeds: Sequence[int]
    labels: Labels
    cascade: Cascade
    begin: Start | None = None
    steer: Callable[[Compute], Steer] | None = None
    judges: Sequence[str] = ()
    given: Scale | None = None

    @property
    def scale(self) -> Scale:
        """Of the pixels of results: that of the image which they are made of, or the model's."""
        given = self.given or (self.begin and self.begin.scale)
        return scales.drawn([given] if given else [], self.info.scale, self.cascade.shape)

    @property
    def info(self) -> DataInfo:
        """What the model was trained on."""
        return self.opened.header.data


def run(request: Sample, opened: Opened | None = None) -> None:
    """Draw what a request asks for; opened: its model and settings, if they are known already."""
    use, stored = request.use, None
    _, later = opening.parts(use.model)
    if request.origin is not None:
        stored = latents_file.load(request.origin)
        place = starts.model(opening.base(use), stored)
        if use.model is None:
            console.say(f"model: {place.name}")
        opened = opening.opened(replace(use, model=place.name), *stored.settings)
    opened = opened or opening.opened(opening.base(use))
    place, header, config = opened
    stages = cascade.planned(later, place, header.data, request.draw)
    schedule = build.schedule_of(header, place.path)
    begin, label, seeds = None, use.label, None
    if stored is not None:
        begin = starts.decoding(stored, schedule, header)
        label = classes.fixed(label or stored.record["class"], config)
        seeds = starts.numbers(request.draw.seeds, stored)
    elif request.init is not None:
        begin = starts.noised(request, schedule, header, Randomness(config["compute"]["rng"]))
        label = classes.fixed(label, config)
    config = cost.sized(config, schedule, use.calls, begin and begin.sigma)
    labels = Labels.of(label, config, header.data)
    classes.say(use.label, config, header.data)
    if seeds is None:
        known = classes.known(config, header.data)
        seeds = chosen_seeds(request.draw.seeds, label, known, request.draw.output)
    opened = opened._replace(config=config)
    work = Work("sample", use, request.draw, opened, schedule, seeds, labels, stages, begin)
    carry_out(work, cost.words)


def chosen_seeds(
    seeds: Seeds, label: str | None, known: Sequence[str], output: str | None
) -> Sequence[int]:
    """The seeds to draw; refused if no disk could hold what they make.

    Of several classes among those `known` one image each is the default.
    """
    usual = len(classes.listed(label, known)) if label is not None and known else 1
    if (seeds.count or usual) > LIMIT:  # that many fit on no disk, which says more
        count = seeds.count or usual
        targets.refuse_too_large(Path(output or "samples"), count * targets.LEAST)
    return seeds.numbers(usual)


def carry_out(work: Work, price: Callable[[int | None], str]) -> None:
    """Say what drawing takes, and draw unless it is a dry run.

    price: what so many network calls an image are in words.
    """
    config = work.opened.config
    moves, calls = cost.plan(config, work.schedule, work.begin and work.begin.sigma)
    count = f"{len(work.seeds)} {work.info.noun}"
    console.say(f"{count}, {moves} steps, {price(calls)}{work.cascade.cost}")
    if warning := checks.unsuited(config):
        console.warn(warning)
    if work.use.dry_run:
        opening.shown(config)
        return
    _draw(work, moves, calls)


def _draw(work: Work, moves: int, calls: int | None) -> None:
    """Open the output, load the model, and walk; calls: of an image, None as it needs them."""
    place, header, config = work.opened
    model.fitted(config, header, place, work.draw.moments)  # refused before any work
    group = distributed.group()
    target, watch = _target(work, group.ranks), _watch(work, group.ranks, moves)
    compute = hardware.compute(**config["compute"])
    compute = compute._replace(device=distributed.local_device(compute.device, group))
    drawer = model.opened(place, config, compute, moments_file=work.draw.moments)
    size = work.use.size
    memory.refuse_large(drawer, min(size, len(work.seeds)))
    enlarge = work.cascade.loaded(compute, work.scale, len(work.seeds), size)
    complete = work.steer(compute) if work.steer else None
    with target:
        left = target.missing(work.seeds[group.rank :: group.ranks], work.labels.names)
        walk = drawer.prepared(work.begin and work.begin.sigma)
        record = _record(work, drawer, size)
        every = work.cascade.calls
        total = None if calls is None or every is None else (calls + every) * len(left)
        with console.progress(total, "network calls") as bar:
            drawer = drawer.counting(bar.advance)
            chunks = drawer.chunks(left, size, _batches(work, drawer, complete), walk)
            later = enlarge.counting(bar.advance)
            finish = Finish(target, watch, record, work.labels.names, drawer, later)
            finish.take(chunks, len(left), bar, work.use.as_json)
    if calls is None and left:  # nobody knew before how many an adaptive walk takes
        console.say(f"{bar.done / len(left):.1f} network calls an image")


def _batches(
    work: Work, drawer: Model, complete: Steer | None
) -> Callable[[Sequence[int]], Batch]:
    """What the walks of some seeds need: classes, where they start, and what steers them."""

    def batch(seeds: Sequence[int]) -> Batch:
        start = work.begin.states(seeds) if work.begin else None
        plain = Batch(seeds, drawer.conditions(work.labels.numbers(seeds)), start)
        return complete(plain) if complete else plain

    return batch


def _record(work: Work, drawer: Model, size: int) -> dict[str, Any]:
    """What each result says of its making."""
    record = drawer.record(work.verb, size, label=work.labels.label, words=work.use.words)
    if work.judges:
        record["guides"] = list(work.judges)
    if "operator" in drawer.config:
        record["settings"]["operator"] = drawer.config["operator"]
    if work.draw.moments is not None:
        record["moments"] = str(work.draw.moments)
    return record | work.cascade.record


def _target(work: Work, ranks: int) -> Output:
    """Where the samples go, checked before any work."""
    default = "guided" if work.verb == "guide" else "samples"
    suffix = samples.endings(work.info.shape, is_image=work.info.is_image)[0]
    return samples.open_output(
        work.draw.output or default + suffix,
        len(work.seeds),
        work.cascade.shape,
        force=work.use.force,
        skip_existing=work.draw.skip_existing,
        ranks=ranks,
        is_image=work.info.is_image,
        titles=work.info.titles,
        scale=work.scale,
    )


def _watch(work: Work, ranks: int, moves: int) -> Trajectory | None:
    """Where the walk itself goes, if it is wanted."""
    output, path, frames = work.draw.output, work.draw.trajectory, work.draw.frames
    if path is None:
        return None
    if ranks > 1 or work.draw.skip_existing:
        raise ConfigError("--trajectory: only for one process that makes all samples")
    if output is not None and Path(output).absolute() == path.absolute():
        raise ConfigError(f"--trajectory {path}: -o names the same file; give another")
    return Trajectory(path, len(work.seeds), work.info, moves, frames, force=work.use.force)


class Finish(NamedTuple):
    """Where samples go, what is written beside them, and what is made of them before."""

    target: Output
    watch: Trajectory | None
    record: Record
    names: Names
    model: Model
    enlarge: Loaded

    def take(
        self, chunks: Iterator[Chunk], total: int, bar: console.Progress, as_json: bool
    ) -> None:
        """Walk chunk by chunk, and hand each finished one to the output."""
        info, watch, done = self.model.info, self.watch, 0
        for chunk in chunks:
            state = walks.last(watch.states(chunk) if watch else chunk.states)
            if state is None:
                return
            what = f"seeds {compact(chunk.seeds)}: values that are not finite"
            values = info.finished(state.x)
            walks.refuse_not_finite(values, what, checks.suited(self.model.config))
            labels = self.names(chunk.seeds)
            finished = self.enlarge(values, chunk.seeds, labels)
            if finished is None:
                return
            self._put(chunk.seeds, labels, finished, as_json)
            done += len(chunk.seeds)
            bar.advance(0, note=f"{done} of {total} {info.noun}")
        _report(self.target.finish(), as_json)
        if watch:
            _report(watch.finish(self.record), as_json)

    def _put(
        self, seeds: Sequence[int], labels: Sequence[str] | None, x: Tensor, as_json: bool
    ) -> None:
        for row, seed in enumerate(seeds):
            names = None if labels is None else [labels[row]]
            paths = self.target.add([seed], names, x[row : row + 1], self.record)
            _report(paths, as_json, [seed], names)


def _report(
    paths: list[Path],
    as_json: bool,
    seeds: Sequence[int] = (),
    labels: Sequence[str] | None = None,
) -> None:
    """Print the paths that were written, one a line."""
    for row, path in enumerate(paths):
        if not as_json:
            console.line(str(path))
            continue
        values: dict[str, Any] = {"path": str(path)}
        if seeds:
            values |= {"seed": seeds[row], "class": labels[row] if labels else None}
        console.json_line(values)
