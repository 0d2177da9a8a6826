"""`ddpm sample`: draw images from a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_cli import console
from ddpm_cli.options import completion, shared, walking
from ddpm_cli.settings.config import Layer

if TYPE_CHECKING:
    from ddpm_cli.files.checkpoints.find import Found
    from ddpm_cli.files.checkpoints.header import Header
    from ddpm_cli.files.checkpoints.latents import Latents
    from ddpm_cli.pipelines.cascade import Cascade
    from ddpm_cli.pipelines.sample import Task


@click.command(
    "sample",
    epilog=shared.examples(
        "ddpm sample -n 64 -o digits.png",
        "ddpm sample -n 64 --sampler ddim --steps 20 --set sampler.eta=0.5 -o ddim.png",
        "ddpm sample --class 7 --seeds 0-9,40 -o sevens/",
        "ddpm sample --class all -n 100 -o classes.png",
        "ddpm sample -n 10000 -o digits.npz --batch 128",
        "ddpm sample --seed 5 -o - > five.png",
        "ddpm sample -n 8 --trajectory walk.png",
        "ddpm sample --init sketch.png --at 40% -n 8 -o variations.png",
        "ddpm sample --from latents.safetensors -o back/",
        "ddpm sample -m runs/base,runs/upscaler -n 16 -o large.png",
        "ddpm sample -m runs/swiss-roll -n 5000 -o roll.csv --trajectory roll.gif",
    ),
)
@shared.count(1, "How many images; by default one of each class that --class names.")
@shared.output(
    "PNG, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for stdout; "
    "by default samples.png. Of arrays .csv, by default samples.csv; a .png is a plot."
)
@shared.model("Model to sample from; others behind commas enlarge its images.")
@walking.trajectory
@walking.steps()
@click.option(
    "--moments",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Moments for an optimal variance, from ddpm fit; by default those beside the model.",
)
@walking.label
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
@shared.fitting
@walking.aug_noise
@shared.seed()
@shared.seeds
@shared.batch()
@walking.rest(skips=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: str | None,
    origin: Path | None,
    init: str | None,
    at: str | None,
    **_: Any,
) -> None:
    """Draw images, or other samples, from a model.

    Several images make one sheet, or one file each if -o is a folder or has {seed} in it. An
    image depends on the model, the settings and its own seed, not on the others. Without
    --class the class, too, comes from the seed; of several classes image by image gets the next.
    Arrays come in the units of the data.

    A trajectory holds the states after the moves in the scale that the network sees, noise of
    deviation 1 at the start for most processes, and for two dimensions draws the drift, too.

    --from takes model, sampler, levels and class from the file, and clamps nothing, so that the
    images come back; whatever is asked for as well wins. --init keeps more of the image the
    smaller --at is; levels above it are left out, and the class is none unless asked for.
    """
    from ddpm_cli.files.checkpoints.header import read_header
    from ddpm_cli.models import walks
    from ddpm_cli.pipelines import cascade as cascades
    from ddpm_cli.pipelines import sample, starts

    model, later = cascades.split(model)
    stored = starts.stored(origin, init, at)
    found = starts.model(ctx, model, stored)
    if model is None:
        console.say(f"model: {found.name}")
    header = read_header(found.path)
    walks.refuse_conditional(header, found.name)
    cascade = cascades.planned(later, found, header.data, ctx.params["aug_noise"])
    sample.run(ctx, _task(ctx, found, header, stored, cascade), walking.cost)


def _task(
    ctx: click.Context,
    found: "Found",
    header: "Header",
    stored: "Latents | None",
    cascade: "Cascade",
) -> "Task":
    """What the options ask for; latents in a file answer what they leave open."""
    from ddpm_cli.files import provenance
    from ddpm_cli.models import build, classes
    from ddpm_cli.pipelines import sample, starts

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
    labels = sample.Labels.of(label, config, header.data)
    if seeds is None:
        seeds = sample.seeds(ctx, label, classes.known(config, header.data))
    words = provenance.given(ctx, "origin", "init", "at", "fit", "background", "aug_noise")
    return sample.Task(found, header, config, schedule, seeds, labels, words, cascade, begin)
