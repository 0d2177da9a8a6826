"""`ddpm sample`: draw images from a model."""

from pathlib import Path
from typing import Any

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, guiding, outputs, reading, shared, walking
from ddpm_cli.settings import guides
from ddpm_cli.settings.requests import Sample, Translate


@click.command(
    "sample",
    epilog=shared.examples(
        "ddpm sample -n 64 -o digits.png",
        "ddpm sample --sampler ddim --steps 20 --set sampler.eta=0.5 -o ddim.png",
        "ddpm sample --class 7 --seeds 0-9,40 -o sevens/",
        "ddpm sample --class all -n 100 -o classes.png",
        "ddpm sample -m runs/emoji --text 'red heart' --text 'blue star' -n 8",
        "ddpm sample -m runs/faces --value age=20:80:10 --labels age",
        "ddpm sample -m runs/emoji --text-from prompts.txt -o prompts/",
        "ddpm sample -n 10000 -o digits.npz --batch 128",
        "ddpm sample --seed 5 -o - > five.png",
        "ddpm sample -m runs/faces --guide-with runs/faces:5000 -n 16",
        "ddpm sample -n 8 --trajectory walk.png",
        "ddpm sample --init sketch.png --at 40% -n 8 -o variations.png",
        "ddpm sample --image grey.png -m runs/emoji-colorize -n 8 -o colours.png",
        "ddpm sample --from latents.safetensors -o back/",
        "ddpm sample -m mnist,mnist-upscale -n 16 -o large.png",
        "ddpm sample -m runs/swiss-roll -n 5000 -o a.csv --trajectory a.gif",
    ),
)
@shared.count(1, "How many images; by default one of each that --class, --text and --value name.")
@outputs.output(
    "PNG, JPEG or WebP, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for "
    "stdout; by default samples.png. Of arrays .csv, or .npy if they have several axes; a .png is "
    "a plot."
)
@shared.model("Model to sample from; others behind commas enlarge its images.")
@outputs.layout
@walking.trajectory
@walking.steps()
@walking.guide_with
@click.option(
    "--moments",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Moments for an optimal variance, from ddpm fit; by default those beside the model.",
)
@walking.label
@walking.told()
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
@walking.given
@guiding.options()
@guiding.particles
@shared.fitting
@walking.cascade
@shared.seed()
@shared.seeds
@shared.batch()
@walking.rest(skips=True, deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    origin: Path | None,
    init: str | None,
    at: str | None,
    images: tuple[str, ...],
    **_: Any,
) -> None:
    """Draw images, or other samples, from a model.

    Several images make one sheet, or one file each if -o is a folder or has {seed} in it. An
    image depends on the model, the settings and its own seed, not on the others. Without
    --class the class, too, comes from the seed; of several classes, texts and numbers image by
    image gets the next combination, of which numbers change fastest and classes slowest; what is
    not said is not told. Arrays come in the units of the data.

    A trajectory holds the states after the moves in the scale that the network sees, noise of
    deviation 1 at the start for most processes, and for two dimensions draws the drift, too.

    --from takes model, sampler, levels and class from the file, and clamps nothing, so that the
    images come back; whatever is asked for as well wins. --init keeps more of the image the
    smaller --at is; levels above it are left out, and the class is none unless asked for.

    --image makes images of given ones, by a model of task pairs: the colours of a grey one, what a
    JPEG lost, a photograph of a label map. -n proposals are made of each, in the model's own
    colours, whose class is none unless asked for. Larger images are made by windows.
    """
    if images:
        _of_images(ctx, images)
        return
    reading.refuse_idle(ctx, "only with --image", "task", "degrades")
    if origin is not None and init is not None:
        raise ConfigError("--init: --from says already where to start; give one of them")
    reading.refuse_half_start(init, at)
    if init is None:
        reading.refuse_idle(ctx, "only with --init", "fit", "background")
    own = ("origin", "init", "at", "fit", "background", "aug_noise", "is_downscaled")
    words = (*own, *guiding.words(ctx))
    use = reading.use(ctx, *words, keys=guiding.KEYS, reads=init is not None)
    request = Sample(
        use=use,
        draw=reading.draw(ctx),
        origin=origin,
        init=init,
        at=at,
        look=reading.look(ctx),
        guiding=guides.guiding(ctx.params),
    )
    from ddpm_cli.pipelines import opening

    # Wrong settings are refused before torch is there; those of latents are in their file.
    opened = opening.drawing(use, request.guiding) if origin is None else None

    from ddpm_cli.pipelines import sample

    sample.run(request, opened)


def _of_images(ctx: click.Context, images: tuple[str, ...]) -> None:
    """Make images of given ones."""
    reading.refuse_idle(ctx, "not with --image", *walking.NOT_OF_GIVEN, *guides.ALL)
    request = Translate(
        use=reading.use(ctx, "task", "degrades", "fit", "background", reads=True),
        inputs=images,
        output=ctx.params["output"],
        seeds=reading.chosen_seeds(ctx),
        task=ctx.params["task"],
        degrades=ctx.params["degrades"],
        skip_existing=ctx.params["skip_existing"],
        look=reading.look(ctx),
        layout=reading.layout(ctx),
    )
    from ddpm_cli.pipelines import opening

    opened = opening.translating(request)

    from ddpm_cli.pipelines import translate

    translate.run(request, opened)
