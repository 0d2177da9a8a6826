"""`ddpm sample`: draw images from a model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ddpm_cli import completion, console, options, walking
from ddpm_cli import config as configuration
from ddpm_cli.config import Config, Layer
from ddpm_cli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.cascades import Cascade
    from ddpm_cli.diffusion.schedules import Schedule
    from ddpm_cli.files.checkpoint import Header
    from ddpm_cli.files.latents import Latents
    from ddpm_cli.files.models import Found
    from ddpm_cli.files.outputs import Output
    from ddpm_cli.files.trajectories import Trajectory
    from ddpm_cli.generate import Start

BATCH = 64  # larger batches page-fault their way out of the caches


@click.command(
    "sample",
    epilog=options.examples(
        "ddpm sample -n 64 -o digits.png",
        "ddpm sample -n 64 --sampler ddim --steps 20 --set sampler.eta=0.5 -o ddim.png",
        "ddpm sample --class 7 --seeds 0-9,40 -o sevens/",
        "ddpm sample -n 10000 -o digits.npz --batch 128",
        "ddpm sample --seed 5 -o - > five.png",
        "ddpm sample -n 8 --trajectory walk.png",
        "ddpm sample --init sketch.png --at 40% -n 8 -o variations.png",
        "ddpm sample --from latents.safetensors -o back/",
        "ddpm sample -m runs/base,runs/upscaler -n 16 -o large.png",
        "ddpm sample -m runs/swiss-roll -n 5000 -o roll.csv --trajectory roll.gif",
    ),
)
@options.count(1)
@options.output(
    "PNG, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for stdout; "
    "by default samples.png. Of arrays .csv, by default samples.csv; a .png is a plot."
)
@options.model("Model to sample from; others behind commas enlarge its images.")
@click.option(
    "--trajectory",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Keep the whole walk as well: .npz, .safetensors, or drawn as .gif or .png.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=2),
    metavar="N",
    help="States to keep of the walk, evenly chosen; by default 60 of a .gif, 8 of a .png, all "
    "of other files.",
)
@walking.steps()
@click.option(
    "--moments",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Moments for an optimal variance, from ddpm fit; by default those beside the model.",
)
@click.option("--class", "label", metavar="NAME", help="Class name or number, or none.")
@click.option(
    "--from",
    "origin",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Decode the latents that ddpm encode wrote; seeds are their numbers in the file.",
)
@click.option(
    "--init",
    metavar="IMAGE",
    shell_complete=completion.paths,
    help="Start from an image with noise, as much as --at says, instead of from noise alone.",
)
@walking.at("How much noise --init is given: that of x_T.")
@options.fitting
@click.option(
    "--aug-noise",
    type=click.FloatRange(min=0, max=100),
    metavar="LEVEL",
    default=0.0,
    help="Noise that each further model adds to what it enlarges.",
)
@options.seed()
@options.seeds
@options.batch()
@walking.rest(skips=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    origin: Path | None,
    init: str | None,
    at: str | None,
    dry_run: bool,
    **_: Any,
) -> None:
    """Draw images, or other samples, from a model.

    Several images make one sheet, or one file each if -o is a folder or has {seed} in it. An
    image depends on the model, the settings and its own seed, not on the others. Without
    --class the class, too, comes from the seed. Arrays come in the units of the data.

    A trajectory holds the states after the moves in the scale that the network sees, noise of
    deviation 1 at the start for most processes, and for two dimensions draws the drift, too.

    --from takes model, sampler, levels and class from the file, and clamps nothing, so that the
    images come back; whatever is asked for as well wins. --init keeps more of the image the
    smaller --at is; levels above it are left out, and the class is none unless asked for.
    """
    from ddpm_cli import cascades, generate, starts
    from ddpm_cli.files.checkpoint import read_header

    model, later = cascades.split(model)
    stored = starts.stored(origin, init, at)
    found = starts.model(ctx, model, stored)
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    generate.refuse_conditional(header, found.name)
    cascade = cascades.planned(later, found, header.data, ctx.params["aug_noise"])
    task = _task(ctx, found, header, stored, cascade)
    moves, calls = generate.plan(task.config, task.schedule, task.top)
    kind = "images" if header.data.is_image else "samples"
    console.say(f"{len(task.seeds)} {kind}, {moves} steps, {walking.cost(calls)}{cascade.cost}")
    if dry_run:
        console.result(configuration.dump_toml(task.config).rstrip("\n"))
        return
    _sample(ctx, task, moves, is_counted=calls is None)


class _Task(NamedTuple):
    """What to draw: with which model and settings, from where, of which seeds and class."""

    found: "Found"
    header: "Header"
    config: Config
    schedule: "Schedule"
    begin: "Start | None"
    seeds: Sequence[int]
    label: str | None
    arguments: list[str]  # of the command that makes it again
    cascade: "Cascade"

    @property
    def top(self) -> "Tensor | None":
        """The level to start from, if not the highest of the list."""
        return self.begin and self.begin.sigma


def _task(
    ctx: click.Context,
    found: "Found",
    header: "Header",
    stored: "Latents | None",
    cascade: "Cascade",
) -> _Task:
    """What the options ask for; latents in a file answer what they leave open."""
    from ddpm_cli import build, classes, provenance, seed_lists, starts
    from ddpm_cli.files import outputs

    asked, trained = ctx.params, Layer(str(found.path), header.config)
    config = walking.resolved(ctx, trained, *(stored.settings if stored else []))
    schedule = build.schedule_of(header, found.path)
    begin, label, seeds = None, asked["label"], None
    if stored is not None:
        begin = starts.decoding(stored, schedule, header)
        label = classes.fixed(label or stored.record["class"], config)
        seeds = starts.numbers(ctx, stored)
    elif asked["init"] is not None:
        begin = starts.noised(ctx, schedule, header)
        label = classes.fixed(label, config)
    config = walking.sized(ctx, config, schedule, begin and begin.sigma)
    if seeds is None:
        if asked["count"] > seed_lists.LIMIT:  # that many fit on no disk, which says more
            place = Path(asked["output"] or "samples")
            outputs.refuse_too_large(place, asked["count"] * outputs.LEAST)
        seeds = options.image_seeds(asked["seed"], asked["count"], asked["seeds"])
    words = provenance.given(ctx, "origin", "init", "at", "fit", "background", "aug_noise")
    return _Task(found, header, config, schedule, begin, seeds, label, words, cascade)


def _sample(ctx: click.Context, task: _Task, moves: int, *, is_counted: bool) -> None:
    """Open the output, load the model, and walk."""
    from ddpm_cli import build, classes, drawing, generate, provenance
    from ddpm_cli.files.checkpoint import load
    from ddpm_cli.training import distributed

    asked, config, info = ctx.params, task.config, task.header.data
    fit = generate.fitted(config, task.header, task.found, asked["moments"])
    place = distributed.group()
    target = _target(ctx, task, place.ranks)
    watch = _watch(ctx, task, place.ranks, moves)
    names = partial(classes.names, task.label, config, info)
    names([])  # an unknown class is refused before any work
    compute = build.compute(**config["compute"])
    compute = compute._replace(device=distributed.own(compute.device, place))
    header, weights = load(task.found.path, str(compute.device))
    restored = build.restored(header, weights, compute, task.found.path)
    called: list[None] = []
    if is_counted:  # nobody knew before how many calls there would be
        restored.network.register_forward_pre_hook(lambda *_: called.append(None))
    denoiser, batch = build.known(restored, fit), asked["batch"] or BATCH
    with target:
        left = target.missing(task.seeds[place.rank :: place.ranks], names)
        numbers = classes.numbers(task.label, left, config, info)
        made = generate.chunks(denoiser, config, info, compute, left, numbers, batch, task.begin)
        record = provenance.record(
            "sample",
            task.found.name,
            header,
            config,
            compute,
            batch,
            label=task.label,
            arguments=task.arguments,
        )
        if asked["moments"] is not None:
            record["moments"] = str(asked["moments"])
        record |= task.cascade.record
        enlarge = task.cascade.loaded(compute)
        finish = drawing.Finish(target, watch, record, names, info, enlarge)
        drawing.draw(made, finish, len(left), asked["as_json"])
    if called:
        console.say(f"{len(called) / len(left):.1f} network calls an image")


def _target(ctx: click.Context, task: _Task, ranks: int) -> "Output":
    """Where the samples go, checked before any work."""
    from ddpm_cli.files import outputs

    info = task.header.data
    return outputs.open_output(
        ctx.params["output"] or ("samples.png" if info.is_image else "samples.csv"),
        len(task.seeds),
        task.cascade.shape,
        force=ctx.params["force"],
        skip_existing=ctx.params["skip_existing"],
        ranks=ranks,
        is_image=info.is_image,
    )


def _watch(ctx: click.Context, task: _Task, ranks: int, moves: int) -> "Trajectory | None":
    """Where the walk itself goes, if it is wanted."""
    from ddpm_cli.files.trajectories import Trajectory

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
