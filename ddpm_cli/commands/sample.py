"""`ddpm sample`: draw images from a model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import __version__, console, options
from ddpm_cli import config as configuration
from ddpm_cli.config import Config, Layer
from ddpm_cli.errors import ConfigError, nearest

if TYPE_CHECKING:
    from ddpm_cli.build import Compute
    from ddpm_cli.files.checkpoint import DataInfo, Header
    from ddpm_cli.files.outputs import Output
    from ddpm_cli.generate import Chunk

BATCH = 64  # larger batches page-fault their way out of the caches


@click.command(
    "sample",
    epilog=options.examples(
        "ddpm sample -n 64 -o digits.png",
        "ddpm sample -n 64 --sampler ddim --steps 20 --set sampler.eta=0.5 -o ddim.png",
        "ddpm sample --class 7 --seeds 0-9,40 -o sevens/",
        "ddpm sample -n 10000 -o digits.npz --batch 128",
        "ddpm sample -n 1 -o - | ddpm info -",
    ),
)
@options.count(1)
@options.output(
    "PNG, folder/, file with {seed} in its name, .npz, .npy or - for stdout; "
    "by default samples.png."
)
@options.model("Model to sample from.")
@options.component("sampler", "--sampler", help="Step from a noise level to the next.")
@click.option("--steps", type=click.IntRange(min=1), help="Moves from noise to image.")
@click.option(
    "--calls",
    type=click.IntRange(min=1),
    help="As many steps as cost N network calls.",
    metavar="N",
)
@click.option("--class", "label", metavar="NAME", help="Class name or number, or none.")
@options.seed()
@options.seeds
@options.batch()
@options.settings
@options.hardware
@click.option("--skip-existing", is_flag=True, help="Leave out files that exist already.")
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
    calls: int | None,
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
    """Draw images from a model.

    Several images make one sheet, or one file each if -o is a folder or has {seed} in it. An
    image depends on the model, the settings and its own seed, not on the others. Without
    --class the class, too, comes from the seed.
    """
    from ddpm_cli import build, generate
    from ddpm_cli.files import models, outputs
    from ddpm_cli.files.checkpoint import load

    found = models.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header, weights = load(found.path)
    keys = {"sampler": "sampler.name", "steps": "levels.count"}
    config = configuration.resolve(
        options.layers(ctx, keys, Layer(str(found.path), header.config))
    )
    process = build.schedule(config)
    if calls is not None:
        config = generate.fit_calls(config, process, calls)
    wanted = options.image_seeds(seed, count, seeds)
    moves, each = generate.plan(config, process)
    console.say(f"{len(wanted)} images, {moves} steps, {each} network calls an image")
    if dry_run:
        console.result(configuration.dump_toml(config).rstrip("\n"))
        return
    target = outputs.open_output(
        output or "samples.png",
        len(wanted),
        header.data.shape,
        force=force,
        skip_existing=skip_existing,
    )
    with target:
        left = target.missing(wanted)
        classes = _classes(label, left, config, header.data)
        compute = build.compute(**config["compute"])
        denoiser = build.restored(header, weights, compute)
        made = generate.chunks(
            denoiser, config, header.data, compute, left, classes, batch or BATCH
        )
        record = provenance(found.name, header, config, compute, batch or BATCH, label)
        _draw(made, target, record, header.data.classes, len(left), as_json)


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
    if label not in names and not (label.isdecimal() and int(label) < taken):
        raise ConfigError(f"--class: no class is named {label!r}; {nearest(label, names)}")
    return [names.index(label) if label in names else int(label)] * len(seeds)


def provenance(
    model: str,
    header: "Header",
    config: Config,
    compute: "Compute",
    batch: int,
    label: str | None,
) -> dict[str, Any]:
    """What an image must carry so that the same one can be made again."""
    import torch

    tables = ("sampler", "corrector", "levels", "wrappers", "edits", "constraints")
    return {
        "version": __version__,
        "command": "sample",
        "model": model,
        "hash": header.hash,
        "class": label,
        "settings": {table: config[table] for table in tables if config.get(table)},
        "batch": batch,
        "threads": torch.get_num_threads(),
        "device": compute.device.type,
        "dtype": str(compute.dtype).removeprefix("torch."),
    }


def _draw(
    made: "Iterator[Chunk]",
    target: "Output",
    record: dict[str, Any],
    names: tuple[str, ...] | None,
    total: int,
    as_json: bool,
) -> None:
    """Walk chunk by chunk, and hand each finished one to the output."""
    from ddpm_cli.files.images import to_uint8
    from ddpm_cli.generate import last

    with console.progress(total, "images") as bar:
        for chunk in made:
            state = last(chunk.states)
            if state is None:
                return
            labels = None
            if chunk.classes is not None:
                labels = [_name(number, names) for number in chunk.classes]
            paths = target.add(chunk.seeds, labels, to_uint8(state.x.cpu()), record)
            _report(paths, as_json, chunk.seeds, labels)
            bar.advance(len(chunk.seeds))
        _report(target.finish(), as_json)


def _name(number: int, names: tuple[str, ...] | None) -> str:
    """The name of a class; the number behind the last one is the null class."""
    if names is None:
        return str(number)
    return names[number] if number < len(names) else "none"


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
