"""`ddpm inpaint`: make parts of images anew, or more around them."""

from typing import Any

import click

from ddpm_cli.options import completion, guiding, numbers, outputs, reading, shared, walking
from ddpm_cli.settings import guides, methods
from ddpm_cli.settings.requests import Inpaint

# Options that no setting stands for; a result says how they were given.
OWN = (
    "mask", "mask_keeps", "threshold", "extend", "panorama", "fit", "background", "channels",
    "noise",
)  # fmt: skip


@click.command(
    "inpaint",
    epilog=shared.examples(
        "ddpm inpaint digit.png --mask hole.png -o whole.png",
        "ddpm inpaint digit.png --mask 8,8,20,20 -n 4 -o proposals/",
        "ddpm inpaint digit.png --mask 8,8,12,12 --mask hole.png -o whole.png",
        "ddpm inpaint photos/ --mask masks/ --mask-keeps white -o whole/",
        "ddpm inpaint digit.png --mask 8,8,20,20 --jump 10 --resample 10",
        "ddpm inpaint digit.png --mask 8,8,20,20 -m mnist --method mmps",
        "ddpm inpaint noisy.png --mask 8,8,20,20 --method ddrm --noise 0.2",
        "ddpm inpaint cut-out.png --mask alpha -o - > whole.png",
        "ddpm inpaint digit.png --extend 14,14,0,0 -o wide.png",
        "ddpm inpaint digit.png --panorama 84x28 -o panorama.png",
        "ddpm inpaint table.csv -m runs/table -n 5 -o filled-{seed}.csv",
        "ddpm inpaint table.csv -m runs/table --mask price --mask age:2-21",
        "ddpm inpaint series.npy -m runs/series --mask 24: -n 20 -o out.npy",
    ),
)
@shared.inputs
@click.option(
    "--mask",
    metavar="MASK",
    multiple=True,
    shell_complete=completion.mask,
    help="What to make anew: a file or a folder of files named like the images, white where; a "
    "box left,top,right,bottom; or alpha, where the image is transparent. Of rows, beside their "
    "gaps: COLUMN or COLUMN:LINES as price:2-5,9 or 3:7 (rows from 0 of arrays); a slice of "
    "the last axes as 24: or 0,24:; or a file of rows, 1 where. Several unite.",
)
@shared.mask_keeps("auto")
@click.option(
    "--threshold",
    type=numbers.number(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="From which share of the other colour on a pixel of a soft edge is made anew.",
)
@click.option(
    "--extend", metavar="L,R,U,D", help="More image around the input: pixels left,right,up,down."
)
@click.option("--panorama", metavar="WxH", help="More image around the input, up to that size.")
@click.option(
    "--method",
    type=click.Choice(methods.named(["auto", "model", "covariance"])),
    metavar="NAME",
    default="auto",
    show_default=True,
    help="How known pixels count: for a model trained to fill holes (model), or by noising them "
    "along the walk, anew (replace, with jumps repaint) or as they were (posterior); by ddnm, "
    "ddnm+, ddrm, pigdm, dps, diffpir, mmps or daps, see --list method; or of rows by how their "
    "values vary together (covariance). auto: model if it is one; of rows covariance, up to 256 "
    "values; with --noise pigdm; else replace.",
)
@walking.noise
@walking.check("of the mask of each image")
@click.option(
    "--jump", type=numbers.whole(1, 100_000), metavar="J", help="RePaint: go back up J levels."
)
@click.option(
    "--resample",
    type=numbers.whole(1, 100_000),
    metavar="R",
    help="RePaint: come by each level R times. The paper has 10 for both.",
)
@guiding.options()
@shared.count(1, "How many proposals for each image, or fillings of each file of rows.")
@outputs.output(
    "PNG, JPEG or WebP, of rows .csv or .npy; folder/, name with {name} and {seed} in it, or - "
    "for stdout."
)
@outputs.layout
@shared.model("Model to fill with.", "newest run of task inpaint in ./runs, else bundled")
@walking.steps()
@walking.guide_with
@walking.one_label("Class name or number; none by default.")
@walking.told(several=False)
@shared.seed(help="Seed of the first proposal.")
@shared.seeds
@shared.fitting
@shared.channels
@shared.batch()
@walking.rest(skips=True, deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    method: str,
    mask: tuple[str, ...],
    mask_keeps: Any,
    threshold: float,
    extend: str | None,
    panorama: str | None,
    jump: int | None,
    resample: int | None,
    skip_existing: bool,
    noise: float,
    checks: bool,
    **_: Any,
) -> None:
    """Make parts of images or rows anew, or more around images.

    A mask says what is made anew. All other pixels stay as they are, bit for bit, unless --noise
    says that noise is in them, which is then taken out. Images larger
    than the model are filled by windows that overlap by half, those that know most first. With
    --fit pad the padding counts as known.

    A model of arrays takes .csv, .npy, .npz and .parquet files. Empty cells and NaN are filled,
    and what --mask names; all else stays to the letter, other columns too. Columns are found by
    name. A row depends on its number and the seed alone.
    """
    request = Inpaint(
        use=reading.use(ctx, *OWN, *guiding.words(ctx), reads=True),
        inputs=inputs,
        output=output,
        seeds=reading.chosen_seeds(ctx),
        method=method,
        mask=mask,
        keeps=mask_keeps,
        threshold=threshold,
        extend=extend,
        panorama=panorama,
        jump=jump,
        resample=resample,
        skip_existing=skip_existing,
        look=reading.look(ctx),
        layout=reading.layout(ctx),
        guiding=guides.guiding(ctx.params),
        noise=noise,
        checks=checks,
    )
    from ddpm_cli.pipelines import opening_inpaint

    opened = opening_inpaint.inpainting(request)

    if opened.header.data.is_image:
        from ddpm_cli.pipelines import inpaint

        inpaint.run(request, opened)
        return
    from ddpm_cli.pipelines import inpaint_rows

    inpaint_rows.run(request, opened)
