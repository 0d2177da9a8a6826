"""`ddpm encode`: turn images into latents, from which `ddpm sample --from` makes them again."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import click

from ddpm_cli.errors import ConfigError
from ddpm_cli.options import outputs, reading, shared, walking
from ddpm_cli.settings.layouts import Layout
from ddpm_cli.settings.requests import Encode
from ddpm_cli.settings.usual import CODING

PICTURES = (".png", ".jpg", ".jpeg", ".webp")


@click.command(
    "encode",
    epilog=shared.examples(
        "ddpm encode a.png b.png -o latents.safetensors",
        "ddpm encode digits/ --steps 100 --json",
        "ddpm encode a.png --sampler ddim --steps 200 --class 7",
        "ddpm encode a.png --method forward --at 400 -o noisy.safetensors",
        "ddpm encode a.png --method forward --at 0,10%,50%,100% -o forward.png",
        "ddpm encode a.png b.png -m mnist,runs/mnist -o codes.png",
        "ddpm sample --from latents.safetensors -o back/",
        "ddpm encode table.csv -m runs/table -o z.safetensors",
    ),
)
@shared.inputs
@outputs.output(
    "File of the latents, .safetensors, or a picture of them, .png; latents.safetensors."
)
@shared.model("Model to encode with; of several behind commas a picture compares the latents.")
@walking.steps(", heun unless told; it must not add noise")
@walking.guide_with
@walking.one_label("Class of the images; none unless told.")
@walking.told(several=False)
@click.option(
    "--method",
    type=click.Choice(["ode", "forward"]),
    default="ode",
    show_default=True,
    help="Walk up along the probability-flow ODE, or add the noise of --at at once.",
)
@walking.at("Where --method forward stops: at x_T; a picture has several, as 0,10%,50%,100%.")
@outputs.zoom
@click.option("--fast", is_flag=True, help="Do not decode again: half the time, no PSNR.")
@shared.fitting
@shared.seed(0, "Seed of the first image's noise, for --method forward.")
@shared.batch()
@walking.rest(deals=True)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    inputs: tuple[str, ...],
    output: str | None,
    method: Literal["ode", "forward"],
    at: str | None,
    fast: bool,
    seed: int,
    **_: Any,
) -> None:
    """Turn images into latents, noise that becomes them again.

    Images walk up to noise along the probability-flow ODE, on 50 levels evenly spaced in
    log-SNR unless told otherwise, with the null class. The model's own sampler, levels and
    wrappers are for drawing: here nothing is clamped, and clamp is refused, since what was
    cut off would not come back. Each latent is decoded again, which costs as much as encoding
    did, and the PSNR of image and result is printed in dB (above 60 all pixels mostly agree).

    --method forward draws x_T given the image instead, noise of each image's own seed; the
    model's own sampler takes it away again. Latents are kept in units of the process's noise,
    x_T itself of a variance-preserving process and x_T / sigma of an exploding one.

    A picture, -o x.png, shows with --method forward what noise makes of the images at each time
    of --at (0 is the image; without it the times at which something happens), of rows of one or
    two numbers their points, and of one number their ways through the process; otherwise the first
    100 dimensions of each image's latent, those of several models side by side.

    A model of arrays takes .csv, .npy, .npz and .parquet files, each row of which becomes a
    latent; said is how far the rows of a file are from what comes back, in deviations of their
    columns.
    """
    path = Path(output or "latents.safetensors")
    is_picture = path.suffix.lower() in PICTURES
    if path.suffix != ".safetensors" and not is_picture:
        fix = "a picture of them to a .png"
        raise ConfigError(f"-o {path}: latents go to a .safetensors file, {fix}")
    _check(ctx, method, at, is_picture=is_picture)
    request = Encode(
        use=reading.use(ctx, "method", "at", "fast", "seed", "fit", "background", reads=True),
        inputs=inputs,
        output=path,
        method=method,
        at=at,
        is_checked=not fast,
        seed=seed,
        look=reading.look(ctx),
        layout=Layout(zoom=ctx.params["zoom"]),
    )
    from ddpm_cli.pipelines import opening, opening_rows

    first, later = opening.parts(request.use.model)
    if is_picture and method == "ode":
        _of_models(request, [first, *later])
        return
    if later:
        fix = "encode with one after the other, or compare their latents: -o codes.png"
        raise ConfigError(f"-m {request.use.model}: this takes one model; {fix}")
    opened = opening_rows.opened(request.use, *([CODING] if method == "ode" else []))
    if is_picture:
        from ddpm_cli.pipelines import forward

        forward.run(request, opened)
        return
    if opened.header.data.is_image:
        from ddpm_cli.pipelines import encode

        encode.run(request, opened)
        return
    from ddpm_cli.pipelines import encode_rows

    encode_rows.run(request, opened)


def _of_models(request: Encode, names: Sequence[str | None]) -> None:
    """Draw the latents of one model, or of several side by side."""
    from ddpm_cli.pipelines import opening

    models = []
    for name in names:
        opened = opening.opened(replace(request.use, model=name), CODING)
        if not opened.header.data.is_image:
            fix = "latents of rows go to a .safetensors file"
            raise ConfigError(f"-o {request.output}: a picture of latents of images; {fix}")
        models.append(opened)
    from ddpm_cli.pipelines import latent_codes

    latent_codes.run(request, models)


def _check(ctx: click.Context, method: str, at: str | None, *, is_picture: bool) -> None:
    """Refuse options that would have no effect."""
    if not (is_picture and method == "forward"):
        reading.refuse_idle(ctx, "of a picture of --method forward, -o x.png", "zoom")
    if method == "ode":
        if at is not None:
            raise ConfigError("--at: only with --method forward; the walk goes to the end")
        reading.refuse_idle(ctx, "only with --method forward, which adds noise", "seed")
        return
    idle = [
        f"--{key}"
        for key in ("sampler", "levels", "steps", "calls")
        if ctx.params[key] is not None
    ]
    if is_picture:
        told = ("label", "values", "texts", "negative", "fast")
        reading.refuse_idle(ctx, "noise takes no account of it", *told)
    elif at is not None and "," in at:
        fix = "several make a picture, -o forward.png"
        raise ConfigError(f"--at {at}: latents are at one level; {fix}")
    if (at is None and not is_picture) or idle:
        fix = f"leave out {idle[0]}" if idle else "say with --at how much noise"
        raise ConfigError(f"--method forward: noise is added at once; {fix}")
