"""`ddpm sample`: draw images from a model."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ddpm_cli import config as configuration
from ddpm_cli import console, options
from ddpm_cli.config import SAMPLING, Config, Layer
from ddpm_cli.errors import ConfigError, Refusal, nearest

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoint import DataInfo
    from ddpm_cli.files.outputs import Output
    from ddpm_cli.files.records import Names
    from ddpm_cli.files.trajectories import Trajectory
    from ddpm_cli.generate import Chunk

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
        "ddpm sample -m runs/swiss-roll -n 5000 -o roll.csv --trajectory roll.gif",
    ),
)
@options.count(1)
@options.output(
    "PNG, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for stdout; "
    "by default samples.png. Of arrays .csv, by default samples.csv; a .png is a plot."
)
@options.model("Model to sample from.")
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
@options.component("sampler", "--sampler", help="Step from a noise level to the next.")
@click.option("--steps", type=click.IntRange(min=1), help="Moves from noise to image.")
@click.option(
    "--calls",
    type=click.IntRange(min=1),
    help="As many steps as cost N network calls.",
    metavar="N",
)
@click.option(
    "--moments",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Moments for an optimal variance, from ddpm fit; by default those beside the model.",
)
@click.option("--class", "label", metavar="NAME", help="Class name or number, or none.")
@options.seed()
@options.seeds
@options.batch()
@options.settings
@options.hardware
@options.skip_existing
@options.force()
@options.dry_run
@options.json_lines
@options.list_kinds
@options.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    count: int,
    output: str | None,
    model: str | None,
    trajectory: Path | None,
    frames: int | None,
    calls: int | None,
    moments: Path | None,
    label: str | None,
    seed: int,
    seeds: list[int] | None,
    batch: int | None,
    skip_existing: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    **_: Any,
) -> None:
    """Draw images, or other samples, from a model.

    Several images make one sheet, or one file each if -o is a folder or has {seed} in it. An
    image depends on the model, the settings and its own seed, not on the others. Without
    --class the class, too, comes from the seed. Arrays come in the units of the data.

    A trajectory holds the states after the moves in the scale that the network sees, noise of
    deviation 1 at the start for most processes, and for two dimensions draws the drift, too.
    """
    from ddpm_cli import build, generate, provenance
    from ddpm_cli.files import models, outputs
    from ddpm_cli.files.checkpoint import load, read_header
    from ddpm_cli.files.trajectories import Trajectory
    from ddpm_cli.training import distributed

    found = models.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    generate.refuse_conditional(header, found.name)
    config = _resolved(ctx, Layer(str(found.path), header.config), calls)
    count = len(seeds) if seeds else count
    moves, each = generate.plan(config, build.schedule(config))
    cost = f"{each} network calls an image" if each else "network calls as an image needs them"
    kind = "images" if header.data.is_image else "samples"
    console.say(f"{count} {kind}, {moves} steps, {cost}")
    if dry_run:
        console.result(configuration.dump_toml(config).rstrip("\n"))
        return
    fit = generate.fitted(config, header, found, moments)
    place = distributed.group()
    info = header.data
    target = outputs.open_output(
        output or ("samples.png" if info.is_image else "samples.csv"),
        count,
        info.shape,
        force=force,
        skip_existing=skip_existing,
        ranks=place.ranks,
        is_image=info.is_image,
    )
    watch = None
    if trajectory is not None:
        if place.ranks > 1 or skip_existing:
            raise ConfigError("--trajectory: only for one process that makes all samples")
        if output is not None and Path(output).absolute() == trajectory.absolute():
            raise ConfigError(f"--trajectory {trajectory}: -o names the same file; give another")
        watch = Trajectory(trajectory, count, info, moves, frames, force=force)
    elif frames is not None:
        raise ConfigError("--frames: only with --trajectory")
    wanted = options.image_seeds(seed, count, seeds)[place.rank :: place.ranks]
    names = partial(_names, label, config, info)
    names([])  # an unknown class is refused before any work
    compute = build.compute(**config["compute"])
    compute = compute._replace(device=distributed.own(compute.device, place))
    header, weights = load(found.path, str(compute.device))
    restored = build.restored(header, weights, compute, found.path)
    called: list[None] = []
    if each is None:  # nobody knew before how many calls there would be
        restored.network.register_forward_pre_hook(lambda *_: called.append(None))
    denoiser = build.known(restored, fit)
    with target:
        left = target.missing(wanted, names)
        classes = _classes(label, left, config, info)
        made = generate.chunks(denoiser, config, info, compute, left, classes, batch or BATCH)
        record = provenance.record(
            "sample", found.name, header, config, compute, batch or BATCH, label=label
        )
        if moments is not None:
            record["moments"] = str(moments)
        finish = _Finish(target, watch, record, names, info)
        _draw(made, finish, len(left), as_json)
    if called:
        console.say(f"{len(called) / len(left):.1f} network calls an image")


def _resolved(ctx: click.Context, trained: Layer, calls: int | None) -> Config:
    """The checkpoint's configuration with other ways to walk; what it was trained as is fixed."""
    from ddpm_cli import build, generate

    keys = {"sampler": "sampler.name", "steps": "levels.count"}
    config = configuration.resolve(options.layers(ctx, keys, trained))
    free = (*SAMPLING, "compute", "summary")
    configuration.refuse_other_training(dict(trained.values), config, free)
    if calls is not None and ctx.params["steps"] is not None:
        raise ConfigError("--calls: --steps says already how many; give one of them")
    return config if calls is None else generate.fit_calls(config, build.schedule(config), calls)


def _classes(
    label: str | None, seeds: Sequence[int], config: Config, info: "DataInfo"
) -> list[int] | None:
    """The class of each seed: the one asked for, or drawn from the seed itself."""
    from ddpm_cli import generate

    taken = config["network"].get("classes", 0)
    if label is None:
        return generate.classes_for(seeds, config, info)
    if not taken:
        raise ConfigError("--class: this model was trained without classes; leave it out")
    names = list(info.classes or map(str, range(taken)))
    if label == "none":  # the null class that label dropout trained
        return [taken] * len(seeds)
    if label not in names and label not in map(str, range(taken)):
        raise ConfigError(f"--class: no class is named {label!r}; {nearest(label, names)}")
    return [names.index(label) if label in names else int(label)] * len(seeds)


def _names(
    label: str | None, config: Config, info: "DataInfo", seeds: Sequence[int]
) -> list[str] | None:
    """The name of each seed's class; the number behind the last one is the null class."""
    numbers = _classes(label, seeds, config, info)
    if numbers is None:
        return None
    names = [*(info.classes or map(str, range(config["network"]["classes"]))), "none"]
    return [names[number] for number in numbers]


class _Finish(NamedTuple):
    """Where samples go, and what is written beside them."""

    target: "Output"
    watch: "Trajectory | None"
    record: dict[str, Any]
    names: "Names"
    info: "DataInfo"


def _draw(made: "Iterator[Chunk]", finish: _Finish, total: int, as_json: bool) -> None:
    """Walk chunk by chunk, and hand each finished one to the output."""
    from ddpm_cli.files.records import compact
    from ddpm_cli.generate import last

    with console.progress(total, "images" if finish.info.is_image else "samples") as bar:
        for chunk in made:
            watch = finish.watch
            state = last(watch.states(chunk) if watch else chunk.states)
            if state is None:
                return
            if not bool(state.x.isfinite().all()):
                fix = "try --dtype float32, or other settings of the sampler"
                raise Refusal(f"seeds {compact(chunk.seeds)}: values that are not finite", fix)
            labels = finish.names(chunk.seeds)
            samples = finish.info.restore(state.x)
            paths = finish.target.add(chunk.seeds, labels, samples, finish.record)
            _report(paths, as_json, chunk.seeds, labels)
            bar.advance(len(chunk.seeds))
        _report(finish.target.finish(), as_json)
        if finish.watch:
            _report(finish.watch.finish(finish.record), as_json)


def _report(
    paths: list[Path],
    as_json: bool,
    seeds: Sequence[int] = (),
    labels: Sequence[str] | None = None,
) -> None:
    """Print the paths that were written, one a line."""
    for row, path in enumerate(paths):
        if not as_json:
            console.result(str(path))
            continue
        values: dict[str, Any] = {"path": str(path)}
        if seeds:
            values |= {"seed": seeds[row], "class": labels[row] if labels else None}
        console.json_line(values)
