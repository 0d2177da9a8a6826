"""`ddpm interpolate`: the images between images, or between seeds."""

from pathlib import Path
from typing import Any, Literal

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import completion, guiding, outputs, reading, shared, walking
from ddpm_cli.settings import guides
from ddpm_cli.settings.requests import Interpolate
from ddpm_cli.settings.usual import CODING

SPEED = 120  # milliseconds a frame of a film
# What a result must be made with again, beside what all commands have.
OWN = (
    "count", "blend", "at", "speed", "hold", "easing", "is_film", "seed", "fit", "background",
)  # fmt: skip


@click.command(
    "interpolate",
    epilog=shared.examples(
        "ddpm interpolate a.png b.png -n 9 -o strip.png",
        "ddpm interpolate a.png b.png c.png a.png -n 20 -o round.gif",
        "ddpm interpolate a.png b.png --easing smooth --film -o a-b.webp",
        "ddpm interpolate a.png b.png -n 5 --labels place -o strip.png",
        "ddpm interpolate --seeds 1,2 -n 9 -o seeds.png",
        "ddpm interpolate a.png b.png --at 50% --seed 3 -o strip.png",
        "ddpm interpolate a.png b.png --steps 20 --class 7 -o frames/",
        "ddpm interpolate rows.csv -m runs/table -n 9 -o between.csv",
    ),
)
@click.argument("inputs", metavar="[INPUT]...", nargs=-1, shell_complete=completion.paths)
@shared.count(9, "Frames from each end to the next, both ends counted.")
@outputs.output(
    "PNG, JPEG or WebP strip, .gif or (--film) .webp film, folder/ of frames, or - for stdout; "
    "interpolation.png. Of rows a file as of ddpm sample; interpolation.csv."
)
@outputs.layout
@shared.model("Model to interpolate with.")
@click.option(
    "--seeds",
    metavar="LIST",
    multiple=True,
    callback=shared.seeds_of,
    help="Seeds of the noise at the ends, as in 1,2, instead of images.",
)
@click.option(
    "--blend",
    type=click.Choice(["slerp", "lerp"]),
    help="Great circle between latents (slerp), or straight line; slerp, with --at lerp.",
)
@walking.at("Give the ends the noise of x_T, the same, instead of walking them up to their own.")
@walking.steps(", heun unless told; without --at it must not add noise")
@walking.guide_with
@walking.one_label("Class of all frames; none unless told.")
@walking.told(several=False)
@guiding.options()
@click.option(
    "--speed",
    type=click.IntRange(20, 10_000),
    default=SPEED,
    show_default=True,
    metavar="MS",
    help="Milliseconds a frame of a film.",
)
@click.option(
    "--hold",
    type=click.IntRange(20, 60_000),
    metavar="MS",
    help="Milliseconds that each end stays in a film; unless told the last one, 1500.",
)
@click.option(
    "--easing",
    type=click.Choice(["linear", "smooth", "in", "out"]),
    default="linear",
    show_default=True,
    help="How frames lie between two ends: evenly, closer to both (smooth), to the first (in), or "
    "to the second (out).",
)
@click.option("--film", "is_film", is_flag=True, help="Make a film of -o x.webp, as of a .gif.")
@shared.fitting
@shared.seed(0, "Seed of the noise of --at.")
@shared.batch()
@walking.rest()
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    seeds: list[int] | None,
    count: int,
    blend: Literal["slerp", "lerp"] | None,
    at: str | None,
    speed: int,
    hold: int | None,
    easing: Literal["linear", "smooth", "in", "out"],
    is_film: bool,
    seed: int,
    **_: Any,
) -> None:
    """Make the images between two images or more.

    The ends become latents as in ddpm encode: nothing is clamped, and the first and last frame
    are the images themselves up to the round-trip error, which is said. A frame depends on its
    place between its two ends alone, not on how many there are.

    With --at the ends are given noise instead, both the same, a straight line runs between
    them, and the model's own sampler takes the noise away (Ho 2020, section 4.2): the larger T,
    the more each frame is an image of its own, and the less the ends are kept.

    Guides pull at the frames alone, not at the way up from the ends, which then do not come back
    as they were.

    Of a model of arrays the ends are the rows of .csv, .npy, .npz or .parquet files, all of them
    in their order.
    """
    if inputs and seeds:
        raise ConfigError("--seeds: INPUT says already between what; give one of them")
    if at is not None and blend == "slerp":
        raise ConfigError("--blend slerp: between images with the same noise runs a line; lerp")
    if at is None:
        reading.refuse_idle(ctx, "only with --at, which adds noise", "seed")
    if seeds:
        reading.refuse_idle(ctx, "of image files, not of --seeds", "fit", "background")
    suffix = Path(output or "").suffix.lower()
    if is_film and suffix != ".webp":
        fix = "a .gif is one already" if suffix == ".gif" else "give -o x.webp"
        raise ConfigError(f"--film: makes a .webp a film; {fix}")
    if suffix != ".gif" and not is_film:
        fix = "of a film, -o x.gif or -o x.webp --film"
        reading.refuse_idle(ctx, fix, "speed", "hold")
    request = Interpolate(
        use=reading.use(ctx, *OWN, *guiding.words(ctx), reads=bool(inputs)),
        inputs=inputs,
        output=output,
        seeds=seeds,
        count=count,
        blend=blend,
        at=at,
        speed=speed,
        hold=hold,
        easing=easing,
        is_film=is_film,
        seed=seed,
        look=reading.look(ctx),
        layout=reading.layout(ctx),
        guiding=guides.guiding(ctx.params),
    )
    from ddpm_cli.pipelines import opening_rows

    below = [CODING] if at is None else []
    opened = opening_rows.opened(request.use, *below, asked=request.guiding)
    if opened.header.data.is_image:
        from ddpm_cli.pipelines import interpolate

        interpolate.run(request, opened)
        return
    from ddpm_cli.pipelines import interpolate_rows

    interpolate_rows.run(request, opened)
