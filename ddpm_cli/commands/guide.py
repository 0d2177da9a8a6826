"""`ddpm guide`: draw images that are steered towards what is asked for."""

from typing import Any

import click

from ddpm_cli.options import completion, numbers, reading, shared, walking
from ddpm_cli.settings import guides
from ddpm_cli.settings.requests import Guide


@click.command(
    "guide",
    epilog=shared.examples(
        "ddpm guide --class 7 -n 64",
        "ddpm guide --class all -n 100 --scale 2 --interval 0.2,2 -o classes.png",
        "ddpm guide -m runs/emoji --text 'red heart' --scale 5 --negative yellow",
        "ddpm guide --classifier mnist-classifier --class 7 --scale 4 -n 16",
        "ddpm guide --classifier mnist-classifier --unconditional --class 0-9",
        "ddpm guide --classifier mine.py:logits --class 3 --scale 2",
        "ddpm guide --clip 'a seven' --clip 'blurry:-0.5' --clip-model clip/",
        "ddpm guide --scorer beauty.py:score --scale 50 -n 8 -o best/",
        "ddpm guide --restore deblur --image a.png --set operator.sigma=1.5",
        "ddpm guide --restore upscale --image a.png --set operator.factor=4",
        "ddpm guide --restore mask --image seven.png --mask 7,7,21,21 -n 4",
    ),
)
@shared.count(1, "How many images; by default one of each that --class, --text and --value name.")
@shared.output(
    "PNG, JPEG or WebP, folder/, file with {seed} in its name, .npz, .npy, .safetensors or - for "
    "stdout; by default guided.png."
)
@shared.model("Model to sample from; others behind commas enlarge its images.")
@walking.label
@walking.told()
@click.option(
    "--scale",
    type=numbers.number(0, 1_000_000),
    metavar="S",
    help=f"How strongly: of classifier-free guidance, u + S (c - u), where 1 is none and "
    f"{guides.SCALE:g} the default; else of the one guide, by default classifier 4, clip 100, "
    "scorer 1, restore 1.",
)
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
    "--classifier",
    metavar="MODEL",
    help="A classifier of noisy images: a run, file or name; or code of yours, which is run, as "
    "of --scorer: (x_t = alpha x float32 [B,C,H,W], the model's noise label float32 [B]) -> "
    "logits [B,K].",
    shell_complete=completion.models,
)
@click.option(
    "--grad-at",
    type=click.Choice(["x", "mean"]),
    help="Where the classifier's gradient is taken: at x_t, or at the mean of ddpm's step.",
)
@click.option(
    "--unconditional",
    is_flag=True,
    help="Tell the class to the classifier alone; the model draws with the null class.",
)
@click.option(
    "--clip", "prompts", multiple=True, metavar="TEXT", help="What CLIP shall see; TEXT:weight."
)
@click.option(
    "--clip-image",
    "likes",
    multiple=True,
    metavar="FILE",
    help="What it shall look like to CLIP; FILE:weight.",
    shell_complete=completion.paths,
)
@click.option(
    "--clip-model",
    metavar="MODEL",
    help="A CLIP that ddpm trained, a folder that open_clip saved, or ARCHITECTURE/WEIGHTS, "
    "fetched with --download only.",
    shell_complete=completion.paths,
)
@click.option("--cutouts", type=numbers.whole(1, 1_000), help="Squares that CLIP sees at a time.")
@click.option("--download", is_flag=True, help="Allow to fetch the weights of --clip-model.")
@click.option(
    "--scorer",
    metavar="FILE.py:NAME",
    help="Code of yours, which is run: a function NAME of images float32 [B,C,H,W] in [-1,1], or "
    "rows [B,...] in the units of the data, to scores [B]; or a torch.export program.pt2, with "
    "--trust.",
    shell_complete=completion.paths,
)
@click.option(
    "--trust",
    is_flag=True,
    help="Load a .pt2 of --scorer or --classifier, which can run any code as it is read. "
    "FILE.py:NAME is run without.",
)
@click.option(
    "--restore",
    type=click.Choice(["mask", "upscale", "colorize", "deblur"]),
    help="Draw what --image could be of, the gradient going through the network (DPS).",
)
@click.option(
    "--image", metavar="FILE", help="What --restore knows.", shell_complete=completion.paths
)
@click.option(
    "--mask",
    metavar="MASK",
    multiple=True,
    shell_complete=completion.mask,
    help="What --restore mask does not know: white, or left,top,right,bottom; several unite.",
)
@shared.mask_keeps(None)
@click.option(
    "--fit",
    type=click.Choice(["error", "crop", "resize"]),
    help="What to do with an --image of another size than is known of the model's.",
)
@shared.layout
@walking.trajectory
@walking.steps()
@walking.cascade
@shared.seed()
@shared.seeds
@shared.batch()
@walking.rest(skips=True, deals=True)
@click.pass_context
def command(ctx: click.Context, /, unconditional: bool, download: bool, **_: Any) -> None:
    """Draw images that are steered towards what is asked for.

    That is a class, a text, a score or a measurement. Classifier-free guidance needs no more than
    a model trained with classes, numbers or texts that were dropped now and then. Gradients steer
    any model with any sampler: of a classifier or CLIP of noisy images at x_t; of another CLIP, a
    function of your own or a measurement at the predicted clean image. ODE steps take the
    gradient as a shift of the predicted noise, ddpm as a shift of its mean. --set 'guides=[...]'
    combines several, each with its own scale; see --list guides. Where strong guidance
    saturates, try wrappers=[{name="threshold"}] by --set.
    """
    code = guides.code(ctx.params)
    words = ("unconditional", "download", "aug_noise", "is_downscaled", *code)
    use = reading.use(ctx, *words, reads=True)
    request = Guide(
        use=use,
        draw=reading.draw(ctx),
        unconditional=unconditional,
        download=download,
        code=code,
    )
    from ddpm_cli.pipelines import opening

    opened = opening.guiding(use, ctx.params)
    guides.check(opened.config, use.label, unconditional=unconditional)

    from ddpm_cli.pipelines import guide

    guide.run(request, opened)
