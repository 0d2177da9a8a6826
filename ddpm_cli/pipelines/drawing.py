"""Drawing samples: what they depend on, what they take, and the walks themselves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from ddpm_cli import console, hardware
from ddpm_cli.data import toy_laws
from ddpm_cli.diffusion.rng import Randomness
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError, many
from ddpm_cli.files import captions
from ddpm_cli.files.checkpoints.data_info import DataInfo
from ddpm_cli.files.images import scales
from ddpm_cli.files.images.scales import Scale
from ddpm_cli.files.outputs import samples, trajectories
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory, Wanted
from ddpm_cli.models import cost, memory, model, walks
from ddpm_cli.models.asked import Asked
from ddpm_cli.models.cost import Cost
from ddpm_cli.models.model import Model
from ddpm_cli.models.walks import Batch, Start
from ddpm_cli.pipelines import dealing, familiar, opening, steering, windows
from ddpm_cli.pipelines.cascade import Cascade
from ddpm_cli.pipelines.dealing import Deal
from ddpm_cli.pipelines.finishing import Finish, Result
from ddpm_cli.pipelines.lines import Lines, Watch
from ddpm_cli.pipelines.opening import Opened
from ddpm_cli.pipelines.steering import Completion, Steering
from ddpm_cli.settings import checks, shards
from ddpm_cli.settings.config import RESTORING
from ddpm_cli.settings.request_parts import Draw, Use
from ddpm_cli.training import distributed
from ddpm_cli.training.distributed import Group


class Work(NamedTuple):
    """What to draw: with which model and settings, from where, of which seeds and classes.

    verb: the command that makes it again; steering: the guides of its walks; flags: the options
    of guides.
    """

    verb: str
    use: Use
    draw: Draw
    opened: Opened
    schedule: Schedule
    seeds: Sequence[int]
    asked: Asked
    cascade: Cascade
    steering: Steering
    begin: Start | None = None
    flags: Mapping[str, Any] = MappingProxyType({})

    @property
    def scale(self) -> Scale:
        """Of the pixels of results: that of the image which they are made of, or the model's."""
        given = self.steering.given or (self.begin and self.begin.scale)
        return scales.drawn([given] if given else [], self.cascade.info.scale, self.cascade.shape)

    @property
    def info(self) -> DataInfo:
        """What is drawn: what the model was trained on, or larger."""
        return self.steering.info

    @property
    def size(self) -> int:
        """How many images are computed at once, of which each may be several walks."""
        return max(1, self.use.size // (checks.particles(self.opened.config) * self.windows))

    @property
    def windows(self) -> int:
        """By how many windows of the model's size an image is drawn."""
        trained = self.opened.header.data.shape
        return 1 if self.info.shape == trained else len(windows.every(self.info.shape, trained))


def carry_out(work: Work, words: str) -> None:
    """Say what drawing takes, and what steers it in words, and draw unless it is a dry run."""
    config, work = work.opened.config, _of_shard(work)
    top, is_steered = work.begin and work.begin.sigma, steering.goes_back(config)
    planned = cost.plan(config, work.schedule, top, is_steered=is_steered)
    count, each = many(len(work.seeds), work.cascade.info.noun), work.info.one
    each = each if work.windows == 1 else "a window"

    def say() -> None:
        price = f"{many(planned.moves, 'steps')}, {planned.words(each)}{words}"
        console.say(f"{count}, {price}{work.cascade.cost}")
        if warning := checks.unsuited(config):
            console.warn(warning)

    if work.seeds and not work.use.dry_run:
        _draw(work, planned, say)
        return
    say()
    if work.use.dry_run:
        opening.shown(config)


def _of_shard(work: Work) -> Work:
    """What a shard has to draw, and where it puts that; other work stays as it is."""
    draw, shard, named = work.draw, work.use.shard, _place(work)
    own, walk = shards.place(named, shard), draw.trajectory
    naming = work.asked.naming
    if len(work.seeds) > 1 and named != "-" and naming.template(own) is None:
        shards.refuse_shared(named, shard)
    naming.refuse_shared(own, work.seeds)
    if walk is not None:
        walk = Path(shards.place(str(walk), shard, "--trajectory"))
        shards.refuse_shared(str(draw.trajectory), shard, "--trajectory")
    seeds = shards.part(work.seeds, work.size, shard)
    shards.say(shard, len(seeds), len(work.seeds), work.info.noun)
    output = own if shard else draw.output
    return work._replace(draw=replace(draw, output=output, trajectory=walk), seeds=seeds)


def _draw(work: Work, planned: Cost, say: Callable[[], None]) -> None:
    """Draw alone, or in a group; planned: of an image, or a window of it; say: says that.

    Processes that write a file a seed need not know of each other; others hand what they draw to
    the first one.
    """
    group = distributed.group()
    meets = group.ranks > 1 and work.asked.naming.template(_place(work)) is None
    if meets:
        distributed.start(group, torch.device("cpu"))
    try:
        with distributed.Telling(group):
            _drawn(work, planned, group, meets, say)
    finally:
        distributed.stop(group)


def _drawn(work: Work, planned: Cost, group: Group, meets: bool, say: Callable[[], None]) -> None:
    """Open the output, say what is planned, load the model, and walk."""
    place, header, config = work.opened
    model.fitted(config, header, place, work.draw.moments)  # refused before any work
    target = _target(work) if group.leads or not meets else None
    watch = _watch(work, group.ranks)
    asked = work.seeds if meets else work.seeds[group.rank :: group.ranks]
    deal = _deal(work, asked, target, group, meets)
    say()
    compute = hardware.compute(**config["compute"])
    compute = compute._replace(device=distributed.local_device(compute.device, group))
    drawer = model.opened(place, config, compute, moments_file=work.draw.moments)
    familiar.look_known(drawer, work.steering, work.flags, work.use)
    size = work.use.size
    rows = min(work.size, len(work.seeds)) * checks.particles(config)
    windows, is_traced = work.windows, planned.gradients > 0
    at_once = rows * windows if is_traced else max(rows, min(size, rows * windows))
    memory.refuse_large(drawer, at_once, is_traced=is_traced, windows=windows)
    enlarge = work.cascade.loaded(compute, work.scale, len(work.seeds), size, work.asked.negative)
    complete = work.steering.load(compute)
    with target or nullcontext():
        walk = drawer.prepared(work.begin and work.begin.sigma)
        record = _record(work, drawer, size)
        own = {**work.asked.alone(0), "class": ""}
        captions.refuse(record, work.draw.layout.labels, seed=0, **own)
        every, mine = work.cascade.calls, len(deal.mine)
        calls = planned.times(windows).calls
        total = None if calls is None or every is None else (calls + every) * mine
        with console.progress(total, "network calls") as bar:
            laps = Watch(bar)
            drawer = drawer.counting(bar.advance, laps.differentiated)
            chunks = drawer.chunks(deal.mine, work.size, _batches(work, drawer, complete), walk)
            later = enlarge.counting(bar.advance)
            told = Lines.of_walk(work.use.as_json, place.name, header, config, planned.moves)
            kept = (target, watch, record, work.asked)
            finish = Finish(*kept, drawer, later, told, laps)
            if work.draw.skip_existing:
                finish.leave_out(asked, deal.left)
            results: Iterator[Result | None] = map(finish.made, chunks)
            if meets:
                results = dealing.collected(results, deal.rounds, group)
            finish.take(results, deal.left, bar)
    if calls is None and mine:  # nobody knew before how many an adaptive walk takes
        each = work.opened.header.data.one
        console.say(f"{bar.done / mine:.1f} network calls {each}")


def _deal(
    work: Work, asked: Sequence[int], target: Output | None, group: Group, meets: bool
) -> Deal:
    """Of the seeds asked for those to be drawn, and those of them that this process draws."""
    found = target.missing(asked) if target else None
    if not meets:
        return Deal(found or [], found or [], 0)
    left = dealing.agreed_on(found, group)
    return Deal.of(left, work.size, group)


def _batches(
    work: Work, drawer: Model, complete: Completion | None
) -> Callable[[Sequence[int]], Batch]:
    """What the walks of some seeds need: classes, where they start, and what steers them."""

    def batch(seeds: Sequence[int]) -> Batch:
        asked, begin = work.asked, work.begin
        noise = complete.noise(seeds) if complete and begin and begin.is_noised else seeds
        start = begin.states(noise) if begin else None
        plain = Batch(seeds, asked.conditions(seeds), asked.against(seeds), start)
        whole = complete(plain) if complete else plain
        return windows.walking(drawer, whole, work.info.shape, work.use.size)

    return batch


def _record(work: Work, drawer: Model, size: int) -> dict[str, Any]:
    """What each result says of its making."""
    record = drawer.record(work.verb, size, label=work.asked.label, words=work.use.words)
    record["settings"] |= {
        name: drawer.config[name] for name in RESTORING if name in drawer.config
    }
    if work.draw.moments is not None:
        record["moments"] = str(work.draw.moments)
    return record | work.steering.record | work.asked.record | work.cascade.record


def _place(work: Work) -> str:
    """What -o says, or what it is without."""
    default = "guided" if work.verb == "guide" else "samples"
    suffix = samples.endings(work.cascade.shape, is_image=work.cascade.info.is_image)[0]
    return work.draw.output or default + suffix


def _target(work: Work) -> Output:
    """Where the samples go, checked before any work."""
    return samples.open_output(
        _place(work),
        len(work.seeds),
        work.cascade.shape,
        force=work.use.force,
        skip_existing=work.draw.skip_existing,
        is_image=work.cascade.info.is_image,
        titles=work.cascade.info.titles,
        scale=work.scale,
        layout=work.draw.layout,
        used=trajectories.uses(work.draw.trajectory, work.info),
        naming=work.asked.naming,
    )


def _watch(work: Work, ranks: int) -> Trajectory | None:
    """Where the walk itself goes, if it is wanted."""
    output, path, config = work.draw.output, work.draw.trajectory, work.opened.config
    if path is None:
        return None
    if ranks > 1 or work.draw.skip_existing:
        raise ConfigError("--trajectory: only for one process that makes all samples")
    if output is not None and Path(output).absolute() == path.absolute():
        raise ConfigError(f"--trajectory {path}: -o names the same file; give another")
    wanted = Wanted(
        path,
        walks.prepared(config, work.schedule, work.begin and work.begin.sigma).levels,
        work.draw.frames,
        work.draw.show,
        toy_laws.known(config["data"], work.info),
        Randomness(config["compute"]["rng"]),
        work.use.force,
        work.draw.layout,
    )
    return Trajectory(wanted, len(work.seeds), work.info)
