"""`ddpm guide`: draw images that are steered towards what is asked for."""

from typing import Any

import click

from ddpm_cli.options import completion, guiding, numbers, outputs, reading, shared, walking
from ddpm_cli.settings import guides, methods
from ddpm_cli.settings.request_parts import Look
from ddpm_cli.settings.requests import Guide


@click.command(
    "guide",
    epilog=shared.examples(
        "ddpm guide --class 7 -n 64",
        "ddpm guide --class all -n 100 --scale 2 --interval 0.2,2 -o classes.png",
        "ddpm guide -m runs/emoji --text 'red heart' --scale 5 --negative yellow",
        "ddpm guide --class 0-9 --scale 6 --set guidance.name=apg -o apg.png",
        "ddpm guide --classifier mnist-classifier --class 7 --scale 4 -n 16",
        "ddpm guide --classifier mnist-classifier --unconditional --class 0-9",
        "ddpm guide --classifier mine.py:logits --class 3 --scale 2",
        "ddpm guide --clip 'a seven' --clip 'blurry:-0.5' --clip-model clip/",
        "ddpm guide --scorer beauty.py:score --scale 50 -n 8 -o best/",
        "ddpm guide --guide classifier --class 3 --guide scorer --scorer a.py:f",
        "ddpm guide --init sketch.png --at 60% --class 7 --scale 3 -n 8",
        "ddpm guide --reward 'python3 score.py' --particles 16 -n 4",
        "ddpm guide --restore deblur --image a.png --set operator.sigma=1.5",
        "ddpm guide --restore upscale --image a.png --set operator.factor=4",
        "ddpm guide --restore mask --image seven.png --mask 7,7,21,21 -n 4",
        "ddpm guide --restore deblur --image a.png --method ddrm -n 9",
        "ddpm guide --restore fourier --image y.npy --method mmps -n 4",
    ),
)
@shared.count(1, "How many images; by default one of each that --class, --text and --value name.")
@outputs.output(
    "PNG, JPEG or WebP, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for "
    "stdout; by default guided.png."
)
@shared.model("Model to sample from; others behind commas enlarge its images.")
@walking.label
@walking.told()
@guiding.options(
    "How strongly: of classifier-free guidance, u + S (c - u), where 1 is none and "
    f"{guides.SCALE:g} the default; else of the one guide, by default classifier 4, clip 100, "
    "scorer 1, restore 1."
)
@guiding.particles
@click.option(
    "--omega",
    type=numbers.number(-1, 1_000_000),
    metavar="W",
    help="The papers' w: --scale is W + 1.",
)
@click.option(
    "--interval",
    metavar="LOW,HIGH",
    help="Classifier-free guidance at noise levels above LOW and up to HIGH alone, "
    "which is sigma in x=x0+sigma*eps.",
)
@click.option(
    "--rescale",
    type=numbers.number(0, 1),
    metavar="SHARE",
    help="Of classifier-free guidance: bring the contrast back by a share of the way.",
)
@click.option(
    "--restore",
    type=completion.RestoreChoice(),
    help="Draw what --image could be of: with holes (mask), or what an operator left, see --list "
    "operator; or FILE.py:NAME, code of yours, which is run, as --task of upscale. Without "
    "--method mask, upscale, colorize and deblur pull by the gradient through the network alone.",
)
@click.option(
    "--method",
    type=click.Choice(methods.NAMES),
    metavar="NAME",
    help="How --restore makes walks agree with what is known: replace, posterior, repaint, ddnm, "
    "ddnm+, ddrm, pigdm, dps, diffpir, mmps or daps, see --list method; of jpeg, fourier, sensing "
    "and code by default pigdm.",
)
@click.option(
    "--noise",
    type=numbers.number(0, 100),
    metavar="LEVEL",
    help="Standard deviation of the noise in what --restore knows, of images in [-1, 1]; with "
    "--method by default 0, else 0.05.",
)
@click.option(
    "--image",
    metavar="FILE",
    help="What --restore knows, an image; a .npy of numbers as upscale takes it, with a method. "
    "Of larger images than the model's windows are made.",
    shell_complete=completion.paths,
)
@click.option(
    "--mask",
    metavar="MASK",
    multiple=True,
    shell_complete=completion.mask,
    help="What --restore mask does not know: white, or left,top,right,bottom; several unite.",
)
@shared.mask_keeps(None)
@walking.check("with --restore, whose --image only mask then needs")
@click.option(
    "--init",
    metavar="IMAGE",
    shell_complete=completion.paths,
    help="Start from an image with noise, as much as --at says, instead of from noise alone.",
)
@walking.at("How much noise --init is given: that of x_T.")
@click.option(
    "--fit",
    type=click.Choice(["error", "pad", "crop", "resize"]),
    help="What to do with an --init or --image of another size than the model's, or than is known "
    "of it; pad is of --init.",
)
@click.option(
    "--background", metavar="COLOUR", help="What is behind clear parts of --init; white."
)
@outputs.layout
@walking.trajectory
@walking.steps()
@walking.guide_with
@walking.cascade
@shared.seed()
@shared.seeds
@shared.batch()
@walking.rest(skips=True, deals=True)
@click.pass_context
def command(ctx: click.Context, /, init: str | None, at: str | None, **_: Any) -> None:
    """Draw images that are steered towards what is asked for.

    That is a class, a text, a score or a measurement. Classifier-free guidance needs no more than
    a model trained with classes, numbers or texts that were dropped now and then. Gradients steer
    any model with any sampler: of a classifier or CLIP of noisy images at x_t; of another CLIP, a
    function of your own or a measurement at the predicted clean image. ODE steps take the
    gradient as a shift of the predicted noise, ddpm as a shift of its mean. Several add up:
    --guide NAME:scale=S gives each its own strength. Where strong guidance saturates, try
    wrappers=[{name="threshold"}] by --set.

    --init keeps more of an image the smaller --at is; what is asked for is drawn into it. The
    guides, but for --omega, --interval, --rescale and --restore, are also options of sample,
    inpaint, upscale and interpolate.
    """
    reading.refuse_half_start(init, at)
    own = ("init", "at", *(("fit", "background") if init is not None else ()))
    known = guides.MEASURED if guides.method(ctx.params) is not None else ()
    words = (*guiding.words(ctx), *own, *known, "aug_noise", "is_downscaled")
    use = reading.use(ctx, *words, keys=guiding.KEYS, reads=True)
    look = Look(fit=ctx.params["fit"] or "error", background=ctx.params["background"] or "white")
    request = Guide(
        use=use,
        draw=reading.draw(ctx),
        init=init,
        at=at,
        look=look,
        guiding=guides.guiding(ctx.params),
    )
    from ddpm_cli.pipelines import opening

    opened = opening.guiding(use, request.guiding)

    from ddpm_cli.pipelines import guide

    guide.run(request, opened)
