"""What `ddpm sample` and `ddpm guide` share: what to draw of which model, and drawing it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource
from torch import Tensor

from ddpm_cli import console, hardware
from ddpm_cli.diffusion.schedules import Schedule
from ddpm_cli.errors import ConfigError
from ddpm_cli.files import provenance
from ddpm_cli.files.checkpoints import checkpoint
from ddpm_cli.files.checkpoints.checkpoint import DataInfo, Header
from ddpm_cli.files.checkpoints.find import Found
from ddpm_cli.files.outputs import samples
from ddpm_cli.files.outputs.samples import Output
from ddpm_cli.files.outputs.trajectories import Trajectory
from ddpm_cli.files.records import Names
from ddpm_cli.hardware import Compute
from ddpm_cli.models import build, classes, walks
from ddpm_cli.models import cost as planning
from ddpm_cli.models.walks import Batch, Start
from ddpm_cli.options import shared
from ddpm_cli.pipelines import drawing
from ddpm_cli.pipelines.cascade import Cascade
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings import seeds as seed_lists
from ddpm_cli.settings.config import Config
from ddpm_cli.training import distributed

BATCH = 64  # larger batches page-fault their way out of the caches


class Labels(NamedTuple):
    """The class of each seed: the one that --class names, what the network is told, its name."""

    asked: str | None
    numbers: Callable[[Sequence[int]], list[int] | None]
    names: Names

    @classmethod
    def of(cls, asked: str | None, config: Config, info: DataInfo) -> "Labels":
        """Those of a model alone; an unknown class is refused."""
        classes.numbers(asked, [], config, info)
        return cls(
            asked,
            lambda seeds: classes.numbers(asked, seeds, config, info),
            lambda seeds: classes.names(asked, config, info, seeds),
        )


class Task(NamedTuple):
    """What to draw: with which model and settings, from where, of which seeds and classes.

    words: the options of the command that makes it again.
    steer: once it is known where to compute, what completes each batch; judges: the hashes of
    what it loads.
    """

    found: Found
    header: Header
    config: Config
    schedule: Schedule
    seeds: Sequence[int]
    labels: Labels
    words: list[str]
    cascade: Cascade
    begin: Start | None = None
    steer: Callable[[Compute], Callable[[Batch], Batch]] | None = None
    judges: Sequence[str] = ()

    @property
    def top(self) -> Tensor | None:
        """The level to start from, if not the highest of the list."""
        return self.begin and self.begin.sigma


def seeds(ctx: click.Context, label: str | None, known: Sequence[str]) -> Sequence[int]:
    """The seeds of -n, --seed and --seeds; refused if no disk could hold what they make.

    Of several classes among those `known` one image each is the default.
    """
    asked, count = ctx.params, ctx.params["count"]
    if label is not None and ctx.get_parameter_source("count") == ParameterSource.DEFAULT:
        count = len(classes.listed(label, known)) if known else count
    if count > seed_lists.LIMIT:  # that many fit on no disk, which says more
        samples.refuse_too_large(Path(asked["output"] or "samples"), count * samples.LEAST)
    return shared.image_seeds(asked["seed"], count, asked["seeds"])


def run(ctx: click.Context, task: Task, cost: Callable[[int | None], str]) -> None:
    """Say what drawing takes, and draw unless --dry-run says not to.

    cost: what so many network calls an image are in words.
    """
    moves, calls = planning.plan(task.config, task.schedule, task.top)
    kind = "images" if task.header.data.is_image else "samples"
    console.say(f"{len(task.seeds)} {kind}, {moves} steps, {cost(calls)}{task.cascade.cost}")
    if ctx.params["dry_run"]:
        console.result(configuration.dump_toml(task.config).rstrip("\n"))
        return
    _draw(ctx, task, moves, is_counted=calls is None)


def _draw(ctx: click.Context, task: Task, moves: int, *, is_counted: bool) -> None:
    """Open the output, load the model, and walk."""
    asked, config, info = ctx.params, task.config, task.header.data
    fit = walks.fitted(config, task.header, task.found, asked.get("moments"))
    place = distributed.group()
    target = _target(ctx, task, place.ranks)
    watch = _watch(ctx, task, place.ranks, moves)
    compute = hardware.compute(**config["compute"])
    compute = compute._replace(device=distributed.own(compute.device, place))
    header, weights = checkpoint.load(task.found.path, str(compute.device))
    restored = build.restored(header, weights, compute, task.found.path)
    called: list[int] = []
    if is_counted:  # nobody knew before how many calls there would be; two passes are two rows
        restored.network.register_forward_pre_hook(lambda _, given: called.append(len(given[0])))
    denoiser, batch = build.known(restored, fit), asked["batch"] or BATCH
    complete = task.steer(compute) if task.steer else None
    with target:
        left = target.missing(task.seeds[place.rank :: place.ranks], task.labels.names)
        numbers = task.labels.numbers(left)
        made = walks.chunks(
            denoiser, config, info, compute, left, numbers, batch, task.begin, complete
        )
        record = _record(ctx, task, compute, batch)
        enlarge = task.cascade.loaded(compute)
        finish = drawing.Finish(target, watch, record, task.labels.names, info, enlarge)
        drawing.draw(made, finish, len(left), asked["as_json"])
    if called:
        console.say(f"{sum(called) / len(left):.1f} network calls an image")


def _record(ctx: click.Context, task: Task, compute: Compute, batch: int) -> dict[str, Any]:
    """What each result says of its making."""
    record = provenance.record(
        str(ctx.command.name),
        task.found.name,
        task.header,
        task.config,
        compute,
        batch,
        label=task.labels.asked,
        arguments=task.words,
    )
    if task.judges:
        record["guides"] = list(task.judges)
    if "operator" in task.config:
        record["settings"]["operator"] = task.config["operator"]
    if ctx.params.get("moments") is not None:
        record["moments"] = str(ctx.params["moments"])
    return record | task.cascade.record


def _target(ctx: click.Context, task: Task, ranks: int) -> Output:
    """Where the samples go, checked before any work."""
    info = task.header.data
    default = "guided" if ctx.command.name == "guide" else "samples"
    return samples.open_output(
        ctx.params["output"] or f"{default}{'.png' if info.is_image else '.csv'}",
        len(task.seeds),
        task.cascade.shape,
        force=ctx.params["force"],
        skip_existing=ctx.params["skip_existing"],
        ranks=ranks,
        is_image=info.is_image,
    )


def _watch(ctx: click.Context, task: Task, ranks: int, moves: int) -> Trajectory | None:
    """Where the walk itself goes, if it is wanted."""
    output, path = ctx.params["output"], ctx.params["trajectory"]
    frames, force = ctx.params["frames"], ctx.params["force"]
    if path is None:
        if frames is not None:
            raise ConfigError("--frames: only with --trajectory")
        return None
    if ranks > 1 or ctx.params["skip_existing"]:
        raise ConfigError("--trajectory: only for one process that makes all samples")
    if output is not None and Path(output).absolute() == path.absolute():
        raise ConfigError(f"--trajectory {path}: -o names the same file; give another")
    return Trajectory(path, len(task.seeds), task.header.data, moves, frames, force=force)
