"""`ddpm fit`: measure what an optimal variance needs to know of a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import console
from ddpm_cli.errors import ConfigError, Refusal
from ddpm_cli.files.checkpoints.header import read_header
from ddpm_cli.options import shared
from ddpm_cli.settings import config as configuration
from ddpm_cli.settings.checks import refuse_other_training
from ddpm_cli.settings.config import SAMPLING, Layer
from ddpm_cli.settings.toml import toml_value

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.files.checkpoints.moments import Fit
    from ddpm_cli.pipelines.fit import Source

BATCH = 64
STEPS = 3000  # of a head


@click.command(
    "fit",
    epilog=shared.examples(
        "ddpm fit runs/mnist",
        "ddpm fit runs/mnist --diagonal npr --force",
        "ddpm fit mnist -n 4096 -o better.safetensors",
        "ddpm sample -m runs/mnist --steps 10 --set sampler.variance=optimal",
        "ddpm fit runs/mnist --trajectory 10",
    ),
)
@click.argument("model", required=False)
@shared.output("File of the moments; by default MODEL.moments.safetensors beside the model.")
@shared.count(1024, "How many images to measure on.")
@click.option(
    "--levels",
    type=click.IntRange(min=2),
    default=100,
    show_default=True,
    help="How many noise levels to measure at.",
)
@click.option(
    "--estimate",
    type=click.Choice(["error", "norm"]),
    default="error",
    show_default=True,
    help="Measure the error of the predicted noise, or its norm as Analytic-DPM does.",
)
@click.option(
    "--diagonal",
    type=click.Choice(["npr", "sn"]),
    help="Train a head that tells pixels apart, on the squared error (npr) or noise (sn).",
)
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=STEPS,
    show_default=True,
    help="Batches that the head is trained on.",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="End the head's training after that long; 0: no limit.",
)
@click.option(
    "--trajectory",
    type=click.IntRange(min=2),
    metavar="N",
    help="Print the N best levels for ancestral sampling; measures only if it must.",
)
@shared.seed(0, "Seed of noise and data order.")
@shared.batch()
@shared.settings
@shared.hardware
@shared.force()
@shared.json_lines
@shared.common
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    output: str | None,
    trajectory: int | None,
    force: bool,
    as_json: bool,
    **asked: Any,
) -> None:
    """Measure how wrong a model's noise prediction is at each noise level.

    That is what the optimal variance of ddpm and ddim needs (Analytic-DPM): ddpm sample finds
    it beside the model. It belongs to the model's present weights and is refused for others.
    Images come from the model's own data set; --set data.path=... names another.
    """
    from ddpm_cli.files.checkpoints import find, moments
    from ddpm_cli.pipelines.opening import refuse_conditional

    found = find.find(model)
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    refuse_conditional(header, found.name)
    path = Path(output) if output else moments.beside(found.path)
    if path.exists() and not force:
        if trajectory is None:
            raise Refusal(f"{path}: exists already", "give -o FILE, or --force to replace it")
        fit: Fit | None = moments.load(path, header, found.name)
    else:
        fit = _measure(ctx, found, path, **asked)
    if fit is None:  # stopped: nothing is written
        return
    values: dict[str, Any] = {"path": str(path)}
    if trajectory is not None:
        values["timesteps"] = _trajectory(fit, trajectory)
    if as_json:
        console.json_line(values)
    elif trajectory is None:
        console.result(str(path))
    else:
        levels = {"name": "explicit", "timesteps": values["timesteps"]}
        console.result(f"levels={toml_value(levels)}")
    if trajectory is None:
        own = "" if "variance" in header.config["sampler"] else "--sampler ddpm "
        console.say(f"try: ddpm sample -m {found.name} {own}--set sampler.variance=optimal")


def _measure(ctx: click.Context, found: "Found", path: Path, **asked: Any) -> "Fit | None":
    """Measure moments, train a head if asked for, and write both."""
    from ddpm_cli.diffusion import analytic
    from ddpm_cli.files.checkpoints import checkpoint, moments
    from ddpm_cli.pipelines import fit as fitting

    if asked["diagonal"] and asked["estimate"] == "norm":
        raise ConfigError("--estimate norm: a head needs the error; leave out one of the two")
    header, weights = checkpoint.load(found.path)
    source = _source(ctx, header, weights, found.path, asked["seed"], asked["batch"] or BATCH)
    levels = analytic.grid(source.denoiser.schedule, asked["levels"])
    console.say(f"{asked['count']} images at {len(levels)} noise levels")
    measured = fitting.moments(source, levels, asked["count"], asked["estimate"])
    if measured is None:
        return None
    extra: dict[str, Tensor] = {}
    if asked["diagonal"]:
        head = fitting.head(source, measured, asked["diagonal"], asked["steps"], asked["minutes"])
        if head is None:
            return None
        extra = head.state_dict()
    facts = {key: asked[key] for key in ("count", "seed")}
    method = asked["diagonal"] or asked["estimate"]
    moments.save(path, measured, extra, header, method=method, levels=len(levels), **facts)
    return moments.load(path, header, found.name)


def _source(
    ctx: click.Context,
    header: "Header",
    weights: "dict[str, Tensor]",
    path: Path,
    seed: int,
    batch: int,
) -> "Source":
    """The model and its data, or other data of the same kind that --set names."""
    from ddpm_cli import hardware
    from ddpm_cli.models import build
    from ddpm_cli.pipelines.fit import Source
    from ddpm_cli.training import conditions

    config = configuration.resolve(shared.layers(ctx, header=Layer(str(path), header.config)))
    free = ("data", "compute", *SAMPLING, "summary")
    refuse_other_training(dict(header.config), config, free)
    images = build.images(config, "train")
    info, nulls = build.data_info(images), conditions.nulls(config["network"])
    if info.shape != header.data.shape or (nulls and info.classes != header.data.classes):
        raise ConfigError("data: not like the data of the model, in shape or in classes")
    compute = hardware.compute(**config["compute"])
    denoiser = build.restored(header, weights, compute, path)
    return Source(denoiser, images, info.shape, nulls, compute, seed, batch)


def _trajectory(fit: "Fit", count: int) -> list[int]:
    """The best `count` levels as indices; refused where the process has none."""
    from ddpm_cli.diffusion.analytic import trajectory
    from ddpm_cli.models import build

    try:
        return trajectory(build.schedule(fit.header.config), fit.moments, count)
    except ValueError as error:
        raise ConfigError(f"--trajectory {count}: {error}") from None
